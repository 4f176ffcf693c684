// Gathering through windows of any size gives what the strides say.
#include "model/checkpoint/element_reader.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "fixtures.hpp"

namespace optpipe::model {
namespace {

TEST(ElementReader, WindowsOfEverySizeAgree) {
  TemporaryFolder folder;
  std::vector<float> storage(60);
  for (std::size_t i = 0; i < storage.size(); ++i) storage[i] = static_cast<float>(i);
  folder.write("data", {reinterpret_cast<const char*>(storage.data()), storage.size() * sizeof(float)});
  const File file(folder.path() / "data");
  // [3, 4, 2] with strides 1, 11, 5, from element 7 on
  const TensorLocation tensor{DType::f32, "F32", {3, 4, 2}, {1, 11, 5}, 7 * sizeof(float), 24};
  for (Bytes window = 1; window <= 256; window += 3)
    for (std::int64_t first = 0; first < 24; ++first)
      for (std::int64_t count = 1; count <= 24 - first; count += 5) {
        std::vector<float> out(static_cast<std::size_t>(count), -1);
        read_elements(file, tensor, first, count, std::as_writable_bytes(std::span(out)), window);
        for (std::int64_t i = 0; i < count; ++i) {
          const auto n = first + i;
          ASSERT_EQ(out[static_cast<std::size_t>(i)],
                    static_cast<float>(7 + n / 8 + (n / 2 % 4) * 11 + n % 2 * 5));
        }
      }
}

}  // namespace
}  // namespace optpipe::model
