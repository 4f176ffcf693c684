// What the writer writes, the reader reads; what a file says of quantized rows is checked.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>

#include "model/checkpoint/coded_metadata.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"
#include "optpipe/model/checkpoint/safetensors_writer.hpp"

namespace optpipe::model {
namespace {

class QuantizedFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() /
        ("optpipe-quantized-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + "-" +
         std::to_string(::getpid()) + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path file() const { return folder_ / "model.safetensors"; }

  std::filesystem::path folder_;
};

std::vector<std::byte> some_bytes(Bytes count, int seed) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>((i * 37 + static_cast<std::size_t>(seed) * 11) & 0xff);
  return bytes;
}

TEST_F(QuantizedFile, ComesBackAsItWasWritten) {
  const RowFormat coded{StorageFormat::q4, DType::bf16, 100}, plain{StorageFormat::native, DType::f16, 7};
  const auto rows = some_bytes(5 * coded.row_bytes(), 1), numbers = some_bytes(plain.row_bytes(), 2);
  {
    SafetensorsWriter writer(file(), {{"decoder.layers.0.fc1.weight", coded, 5, false},
                                      {"decoder.layers.0.fc1.bias", plain, 1, true}});
    writer.write(0, 3, std::span(rows).subspan(3 * coded.row_bytes()));
    writer.write(0, 0, std::span(rows).first(3 * coded.row_bytes()));
    writer.write(1, 0, numbers);
    EXPECT_FALSE(std::filesystem::exists(file())) << "a file that is not complete has its name";
    writer.finish();
    EXPECT_EQ(std::filesystem::file_size(file()), writer.file_bytes());
  }
  const auto checkpoint = open_checkpoint(folder_);
  const auto matrix = checkpoint->find("decoder.layers.0.fc1.weight");
  ASSERT_TRUE(matrix);
  EXPECT_EQ(matrix->format, StorageFormat::q4);
  EXPECT_EQ(matrix->dtype, DType::bf16);
  EXPECT_THAT(matrix->shape, ::testing::ElementsAre(5, 100));
  std::vector<std::byte> read(2 * coded.row_bytes());
  checkpoint->read_rows("decoder.layers.0.fc1.weight", 2, 2, read);
  EXPECT_TRUE(std::ranges::equal(read, std::span(rows).subspan(2 * coded.row_bytes(), read.size())));
  const auto bias = checkpoint->find("decoder.layers.0.fc1.bias");
  ASSERT_TRUE(bias);
  EXPECT_EQ(bias->format, StorageFormat::native);
  EXPECT_THAT(bias->shape, ::testing::ElementsAre(7));
  read.resize(numbers.size());
  checkpoint->read("decoder.layers.0.fc1.bias", 0, 7, read);
  EXPECT_EQ(read, numbers);
}

TEST_F(QuantizedFile, AnUnfinishedOneLeavesNothing) {
  { const SafetensorsWriter writer(file(), {{"x", {StorageFormat::native, DType::f32, 9}, 4, false}}); }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(QuantizedFile, AFolderThatIsNotThere) {
  EXPECT_THROW(SafetensorsWriter(folder_ / "none" / "x", {}), InputError);
}

TEST(CodedMetadata, OnlyFormatsThatExist) {
  const RowFormat format{StorageFormat::q8, DType::f32, 12345};
  const auto parsed = parse_row_format(to_text(format));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->row_bytes(), format.row_bytes());
  EXPECT_EQ(parsed->dtype, DType::f32);
  for (const char* text :
       {"", "4bit", "4bit  fp16", "4bit 0 fp16", "4bit -1 fp16", "4bit 1 fp8", "2bit 64 fp16",
        "native 64 fp16", "4bit 64x fp16", "4bit 99999999999999999999 fp16", "4bit 4294967297 fp16",
        "4bit fp16", "4bit 64 fp16 "})
    EXPECT_FALSE(parse_row_format(text)) << text;
}

}  // namespace
}  // namespace optpipe::model
