#include "fixtures.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "optpipe/base/environment.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::model {

namespace fs = std::filesystem;

fs::path fixture(std::string_view name) { return fs::path(OPTPIPE_TEST_DATA) / "checkpoint" / name; }

ModelConfig little_config() {
  ModelConfig config;
  config.name = "little";
  config.layers = 1;
  config.hidden = config.embedding = 8;
  config.heads = 2;
  config.ffn = 12;
  config.vocabulary = 11;
  config.positions = 6;
  return config;
}

std::vector<TensorSpec> little_tensors() {
  auto specs = embedding_tensors(little_config());
  for (const auto& spec : layer_tensors(little_config(), LayerId(0))) specs.push_back(spec);
  for (const auto& spec : head_tensors(little_config())) specs.push_back(spec);
  return specs;
}

float value_of(std::string_view name, std::int64_t index) {
  std::int64_t sum = 0;
  for (const char c : name) sum += static_cast<unsigned char>(c);
  return static_cast<float>((index * 7 + sum) % 256 - 128) / 16.0F;
}

std::int64_t elements_of(const TensorInfo& info) {
  std::int64_t count = 1;
  for (const auto size : info.shape) count *= size;
  return count;
}

std::vector<float> read_floats(const Checkpoint& checkpoint, std::string_view name, std::int64_t first,
                               std::int64_t count) {
  constexpr std::size_t kGuard = 8;
  constexpr std::byte kPoison{0xa5};
  const auto info = checkpoint.find(name);
  if (!info) throw std::runtime_error("no tensor " + std::string(name));
  const auto bytes = static_cast<std::size_t>(count) * size_of(info->dtype);
  std::vector<std::byte> buffer(bytes + 2 * kGuard, kPoison);
  checkpoint.read(name, first, count, std::span(buffer).subspan(kGuard, bytes));
  for (std::size_t i = 0; i < kGuard; ++i) {
    EXPECT_EQ(buffer[i], kPoison);
    EXPECT_EQ(buffer[kGuard + bytes + i], kPoison);
  }
  std::vector<float> values(static_cast<std::size_t>(count), -1e30F);
  if (count == 0) return values;
  convert(buffer.data() + kGuard, info->dtype, reinterpret_cast<std::byte*>(values.data()), DType::f32,
          values.size());
  return values;
}

std::vector<float> read_floats(const Checkpoint& checkpoint, std::string_view name) {
  const auto info = checkpoint.find(name);
  if (!info) throw std::runtime_error("no tensor " + std::string(name));
  return read_floats(checkpoint, name, 0, elements_of(*info));
}

std::string input_error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos)
        << "one line is enough: " << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no InputError was thrown";
  return "";
}

TemporaryFolder::TemporaryFolder() {
  auto pattern = temporary_directory() + "/optpipe-checkpoint-XXXXXX";
  if (!mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp(" + pattern + ") failed");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void TemporaryFolder::write(std::string_view name, std::string_view content) const {
  fs::remove(path_ / name);  // some file systems write to the disk at once what replaces a file's content
  std::ofstream file(path_ / name, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + std::string(name));
}

void TemporaryFolder::copy(const fs::path& from, std::string_view name) const {
  write(name, content_of(from));
}

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace optpipe::model
