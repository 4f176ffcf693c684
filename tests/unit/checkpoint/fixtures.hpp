// The little model that tools/make_checkpoint_fixtures.py writes in every format, and helpers around folders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "optpipe/model/checkpoint/checkpoint.hpp"
#include "optpipe/model/tensors.hpp"

namespace optpipe::model {

std::filesystem::path fixture(std::string_view name);  // tests/data/checkpoint/NAME

ModelConfig little_config();
std::vector<TensorSpec> little_tensors();

// What the script's value_of() gives; `name` as the script uses it.
float value_of(std::string_view name, std::int64_t index);

std::int64_t elements_of(const TensorInfo& info);

// Elements [first, first + count) as floats, or all; the bytes around them are checked to stay as they were.
std::vector<float> read_floats(const Checkpoint& checkpoint, std::string_view name, std::int64_t first,
                               std::int64_t count);
std::vector<float> read_floats(const Checkpoint& checkpoint, std::string_view name);

// The message of the InputError that `action` throws; fails the test, and returns "", if it throws none.
std::string input_error_of(const std::function<void()>& action);

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(std::string_view name, std::string_view content) const;
  void copy(const std::filesystem::path& from, std::string_view name) const;

 private:
  std::filesystem::path path_;
};

std::string content_of(const std::filesystem::path& file);

}  // namespace optpipe::model
