// The small tokenizer in tests/data/tokenizer (tools/make_tokenizer_fixtures.py), and altered copies of it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "optpipe/base/error.hpp"
#include "optpipe/model/tokenizer.hpp"

namespace optpipe::model::testing {

using Json = nlohmann::json;

inline std::filesystem::path fixture_folder() {
  return std::filesystem::path(OPTPIPE_TEST_DATA) / "tokenizer";
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

inline Json read_json(const std::string& name) { return Json::parse(read_file(fixture_folder() / name)); }

inline const Tokenizer& fixture() {
  static const Tokenizer tokenizer(fixture_folder());
  return tokenizer;
}

// A folder of its own, gone with the object; vocab.json and merges.txt are the fixture's until overwritten.
class Folder {
 public:
  Folder() {
    auto name = (std::filesystem::temp_directory_path() / "tokenizer-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
    for (const auto* file : {"vocab.json", "merges.txt"}) write(file, read_file(fixture_folder() / file));
  }
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream file(path_ / name, std::ios::binary);
    file << content;
    if (!file.flush()) throw std::runtime_error("cannot write " + name);
  }

 private:
  std::filesystem::path path_;
};

// The message of the InputError that `call` throws; "" if it throws none.
template <class Call>
std::string input_error(Call call) {
  try {
    call();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

inline std::string refusal(const Folder& folder) {
  return input_error([&] { Tokenizer tokenizer(folder.path()); });
}

}  // namespace optpipe::model::testing
