// safetensors headers written by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace optpipe::model {
namespace {

using testing::HasSubstr;

std::string with_header(const std::string& header, const std::string& data) {
  std::string result;
  for (unsigned i = 0; i < 8; ++i) result += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return result + header + data;
}

std::unique_ptr<Checkpoint> open_bytes(const TemporaryFolder& folder, const std::string& bytes) {
  folder.write("model.safetensors", bytes);
  return open_checkpoint(folder.path());
}
std::string error_of(const std::string& bytes) {
  TemporaryFolder folder;
  return input_error_of([&] { open_bytes(folder, bytes); });
}

TEST(Safetensors, MixedTypes) {
  const auto checkpoint = open_checkpoint(fixture("small-safetensors"));
  EXPECT_EQ(checkpoint->find("a")->dtype, DType::f16);
  EXPECT_EQ(checkpoint->find("b")->dtype, DType::bf16);
  EXPECT_EQ(checkpoint->find("c")->dtype, DType::f32);
  EXPECT_EQ(read_floats(*checkpoint, "a").at(5), value_of("a", 5));
  EXPECT_EQ(read_floats(*checkpoint, "b").at(1), value_of("b", 1));
  EXPECT_EQ(read_floats(*checkpoint, "c").at(2), value_of("c", 2));
  EXPECT_THAT(input_error_of([&] { checkpoint->find("d"); }), HasSubstr("I64"));
  EXPECT_EQ(checkpoint->find("e")->shape, (std::vector<std::int64_t>{0, 4}));
}

TEST(Safetensors, HandWrittenHeaderIsRead) {
  TemporaryFolder folder;
  const auto checkpoint = open_bytes(
      folder, with_header(R"({"__metadata__":{"x":"y"},"b":{"dtype":"F32","shape":[],"data_offsets":[4,8]},)"
                          R"("a":{"data_offsets":[0,4],"dtype":"F16","shape":[1,2]}}   )",
                          std::string("\x00\x3c\x00\x40\x00\x00\x80\x3f", 8)));
  EXPECT_EQ(read_floats(*checkpoint, "a"), (std::vector<float>{1, 2}));
  EXPECT_EQ(read_floats(*checkpoint, "b"), std::vector<float>{1});
  EXPECT_FALSE(checkpoint->find("__metadata__"));
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

TEST(Safetensors, WrongHeadersAreRefused) {
  const std::string data(8, '\0');
  const auto refused = [&](const std::string& header, const char* expected) {
    EXPECT_THAT(error_of(with_header(header, data)), HasSubstr(expected)) << header;
  };
  refused(one("F16", "[4]", "[1,8]"), "bytes");
  refused(one("F16", "[3]", "[0,6]"), "6 bytes, but 8 follow");
  refused(one("F16", "[3]", "[2,8]"), "gap or overlap");
  refused(one("F16", "[4]", "[8,0]"), "ends before it begins");
  refused(one("F16", "[4]", "[0,8,8]"), "two numbers");
  refused(one("F16", "[-4]", "[0,8]"), "not a whole number");
  refused(one("F16", "[4.0]", "[0,8]"), "not a whole number");
  refused(one("F16", "4", "[0,8]"), "shape");
  refused(one("F16", "[4294967296,4294967296,4294967296]", "[0,8]"), "beyond any real size");
  refused(one("F16", "[9223372036854775807,2]", "[0,8]"), "");
  refused(one("F16", "[18446744073709551615]", "[0,8]"), "impossible");
  refused(one("F16", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4]", "[0,8]"), "shape");
  refused(one("F17", "[4]", "[0,8]"), "unknown dtype \"F17\"");
  refused(R"({"t":{"shape":[4],"data_offsets":[0,8]}})", "no dtype");
  refused(R"({"t":[]})", "not an object");
  refused(R"({"t":)" + std::string(100, '[') + std::string(100, ']') + "}", "nested");
  refused("{}", "0 bytes, but 8 follow");
  refused(" {}", "begin with '{'");
  refused("[]", "begin with '{'");
  refused("{", "JSON");
  refused("{\"\xff\":1}", "JSON");
  refused(
      R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"a":{"dtype":"F16","shape":[2],"data_offsets":[4,8]}})",
      "\"a\" twice");
  refused(R"({"model.decoder.x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},)"
          R"("decoder.x":{"dtype":"F16","shape":[2],"data_offsets":[4,8]}})",
          "decoder.x");
}

TEST(Safetensors, WrongLengthsAreRefused) {
  EXPECT_THAT(error_of(""), HasSubstr("too short"));
  EXPECT_THAT(error_of("1234567"), HasSubstr("too short"));
  EXPECT_THAT(error_of(std::string(8, '\0')), HasSubstr("begin with '{'"));
  EXPECT_THAT(error_of(std::string(8, '\xff') + "{}"), HasSubstr("claims 18446744073709551615 bytes"));
  EXPECT_THAT(error_of(std::string("\x03\0\0\0\0\0\0\0{}", 10)), HasSubstr("claims 3 bytes"));
}

}  // namespace
}  // namespace optpipe::model
