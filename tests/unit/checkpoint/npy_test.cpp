// .npy files written by hand, under the name of a tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace optpipe::model {
namespace {

using testing::HasSubstr;

constexpr auto kName = "decoder.project_in.weight";

std::string npy(const std::string& header, const std::string& data, char major = 1) {
  std::string result = "\x93NUMPY";
  result += major;
  result += '\0';
  for (unsigned i = 0; i < (major == 1 ? 2U : 4U); ++i)
    result += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return result + header + data;
}

std::unique_ptr<Checkpoint> open_bytes(const TemporaryFolder& folder, const std::string& bytes) {
  folder.write(kName, bytes);
  return open_checkpoint(folder.path());
}
std::string error_of(const std::string& bytes) {
  TemporaryFolder folder;
  const auto checkpoint = open_bytes(folder, bytes);
  return input_error_of([&] { checkpoint->find(kName); });
}

const std::string kTwoHalves("\x00\x3c\x00\x40", 4);  // 1, 2
const std::string kHeader = "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 2), }  \n";

TEST(Npy, EveryVersionIsRead) {
  for (const char major : {1, 2, 3}) {
    TemporaryFolder folder;
    const auto checkpoint = open_bytes(folder, npy(kHeader, kTwoHalves, major));
    EXPECT_EQ(checkpoint->find(kName)->shape, (std::vector<std::int64_t>{1, 2}));
    EXPECT_EQ(read_floats(*checkpoint, kName), (std::vector<float>{1, 2}));
  }
}

TEST(Npy, ShapesAndSinglePrecision) {
  TemporaryFolder folder;
  const std::string one("\x00\x00\x80\x3f", 4);
  auto checkpoint = open_bytes(folder, npy("{'shape':(),'fortran_order':False,'descr':'<f4'}", one));
  EXPECT_EQ(checkpoint->find(kName)->shape, std::vector<std::int64_t>{});
  EXPECT_EQ(read_floats(*checkpoint, kName), std::vector<float>{1});
  checkpoint = open_bytes(folder, npy("{'shape': (2,), 'fortran_order': False, 'descr': '<f2'}", kTwoHalves));
  EXPECT_EQ(checkpoint->find(kName)->shape, std::vector<std::int64_t>{2});
}

TEST(Npy, FinalLayerNormHasFlexGensName) {
  const auto checkpoint = open_checkpoint(fixture("npy/little-np"));
  EXPECT_EQ(read_floats(*checkpoint, "decoder.final_layer_norm.bias").at(3),
            value_of("decoder.final_layer_norm.bias", 3));
  EXPECT_EQ(read_floats(*checkpoint, "lm_head.weight"),
            read_floats(*checkpoint, "decoder.embed_tokens.weight"));
}

TEST(Npy, WrongFilesAreRefused) {
  const auto refused = [](const std::string& header, const char* expected) {
    EXPECT_THAT(error_of(npy(header, kTwoHalves)), AllOf(HasSubstr(expected), HasSubstr(kName))) << header;
  };
  for (const auto* type : {"|V2", "<u2", ">f2", "<f8", "f2", ""})
    refused(std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': (2,)}", "'<f2' (fp16)");
  refused("{'descr': '<f2', 'fortran_order': True, 'shape': (2,)}", "Fortran");
  refused("{'descr': '<f2', 'fortran_order': False, 'shape': (3,)}", "should take 6 bytes, but 4");
  refused("{'descr': '<f2', 'fortran_order': False, 'shape': (1,)}", "should take 2 bytes, but 4");
  refused("{'descr': '<f2', 'fortran_order': False, 'shape': (9223372036854775807, 3)}",
          "beyond any real size");
  refused("{'descr': '<f2', 'fortran_order': False, 'shape': (9223372036854775807,)}", "");
  for (const auto* header :
       {"", "{", "{}", "{'descr': '<f2', 'fortran_order': False}",
        "{'descr': '<f2', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<f2', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '<f2', 'fortran_order': False, 'shape': [2]}",
        "{'descr': '<f2', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f2', 'fortran_order': False, 'shape': (2,)} x",
        "{'descr': '<f2', 'descr': '<f2', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f2', 'fortran_order': False, 'shape': (2,), 'x': '1'}", "{'descr': '<f2"})
    refused(header, "malformed");
  EXPECT_THAT(error_of("\x93NUMPX\x01"), HasSubstr("not in .npy format"));
  EXPECT_THAT(error_of(npy(kHeader, kTwoHalves, 4)), HasSubstr("version 4.0"));
  EXPECT_THAT(error_of(""), HasSubstr("ends early"));
}

}  // namespace
}  // namespace optpipe::model
