// Files of torch.save: views, sharing, foreign types, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "fixtures.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::model {
namespace {

using testing::HasSubstr;
using Shape = std::vector<std::int64_t>;

// "torch-odd" holds views of base, a [4, 6] tensor of fp32.
class TorchViews : public testing::Test {
 protected:
  static float base(std::int64_t row, std::int64_t column) { return value_of("base", row * 6 + column); }

  template <class Expected>
  void expect(const std::string& name, Shape shape, Expected expected) {
    const auto info = checkpoint_->find(name);
    ASSERT_TRUE(info) << name;
    ASSERT_EQ(info->shape, shape) << name;
    const auto values = read_floats(*checkpoint_, name);
    const auto columns = shape.back();
    const auto elements = elements_of(*info);
    for (std::int64_t i = 0; i < elements; ++i)
      ASSERT_EQ(values[static_cast<std::size_t>(i)], expected(i / columns, i % columns))
          << name << " element " << i;
    for (std::int64_t first = 0; first <= elements; ++first)
      for (std::int64_t count = 0; count <= elements - first; ++count) {
        const auto slice = read_floats(*checkpoint_, name, first, count);
        ASSERT_TRUE(std::equal(slice.begin(), slice.end(), values.begin() + first)) << name << " " << first;
      }
  }

  std::unique_ptr<Checkpoint> checkpoint_ = open_checkpoint(fixture("torch-odd"));
};

TEST_F(TorchViews, TiedTensorsShareAStorage) {
  expect("base", {4, 6}, base);
  expect("tied", {4, 6}, base);
}

TEST_F(TorchViews, StridesAreHonoured) {
  expect("transposed", {6, 4}, [](auto r, auto c) { return base(c, r); });
  expect("column", {4}, [](auto, auto c) { return base(c, 2); });
  expect("every_other", {2, 3}, [](auto r, auto c) { return base(2 * r, 2 * c + 1); });
  expect("expanded", {5, 3}, [](auto, auto c) { return base(1, c); });
  // cube [2, 3, 4], permuted to [4, 2, 3]: (a, b, c) is cube's (b, c, a)
  expect("cube", {4, 2, 3}, [](auto ab, auto c) {
    const auto a = ab / 2, b = ab % 2;
    return value_of("cube", b * 12 + c * 4 + a);
  });
}

TEST_F(TorchViews, StorageOffsetsAreHonoured) {
  expect("rows", {2, 6}, [](auto r, auto c) { return base(r + 1, c); });
}

TEST_F(TorchViews, ParametersAreTensors) {
  expect("parameter", {2, 3}, [](auto r, auto c) { return value_of("parameter", r * 3 + c); });
  EXPECT_EQ(checkpoint_->find("parameter")->dtype, DType::f16);
  expect("weight", {2, 3}, [](auto r, auto c) { return value_of("parameter", r * 3 + c); });
  EXPECT_EQ(checkpoint_->find("weight")->dtype, DType::bf16);
}

TEST_F(TorchViews, ScalarsAndEmptyTensors) {
  EXPECT_EQ(checkpoint_->find("scalar")->shape, Shape{});
  EXPECT_EQ(read_floats(*checkpoint_, "scalar"), std::vector<float>{2.5F});
  EXPECT_EQ(checkpoint_->find("empty")->shape, (Shape{0, 3}));
  EXPECT_EQ(read_floats(*checkpoint_, "empty").size(), 0U);
}

TEST_F(TorchViews, ForeignTypesAreRefusedOnlyWhenAskedFor) {
  EXPECT_THAT(input_error_of([&] { checkpoint_->find("counter"); }),
              AllOf(HasSubstr("counter"), HasSubstr("LongStorage"), HasSubstr("fp16, bf16 and fp32")));
  EXPECT_FALSE(checkpoint_->find("epoch"));
  EXPECT_FALSE(checkpoint_->find("note"));
}

struct Refused {
  std::string folder, expected;
};
void PrintTo(const Refused& refused, std::ostream* out) { *out << refused.folder; }
class TorchRefusals : public testing::TestWithParam<Refused> {};
INSTANTIATE_TEST_SUITE_P(
    All, TorchRefusals,
    testing::Values(Refused{"torch-malicious", "system"}, Refused{"torch-legacy", "torch.save(torch.load("},
                    Refused{"torchscript", "TorchScript program, not a state dict; convert it"},
                    Refused{"torch-deflated", "is compressed or encrypted"},
                    Refused{"torch-big-endian", "not little-endian"},
                    Refused{"torch-beyond-storage", "tensor a reaches element 6 of a storage of 6"},
                    Refused{"torch-beyond-entry", "a storage of 7 elements in an entry of 12 bytes"},
                    Refused{"torch-beyond-numbers", "reaches element 9223372036854775809 of a storage"}));

TEST_P(TorchRefusals, SaysWhatIsWrong) {
  EXPECT_THAT(input_error_of([] { open_checkpoint(fixture(GetParam().folder))->find("a"); }),
              AllOf(HasSubstr(GetParam().expected), HasSubstr("pytorch_model.bin")));
}

TEST(Torch, NamesTheFolderInsideTheArchiveFreely) {
  TemporaryFolder folder;  // the archive keeps the name under which it was saved
  folder.copy(fixture("torch-sharded/pytorch_model-00001-of-00002.bin"), "pytorch_model.bin");
  EXPECT_TRUE(open_checkpoint(folder.path())->find("decoder.embed_tokens.weight"));
}

TEST(Torch, GitLfsPointersAreRecognized) {
  TemporaryFolder folder;
  folder.write("pytorch_model.bin", "version https://git-lfs/spec/v1\noid sha256:0\nsize 1\n");
  EXPECT_THAT(input_error_of([&] { open_checkpoint(folder.path()); }), HasSubstr("git lfs pull"));
}

}  // namespace
}  // namespace optpipe::model
