// What every reader must do, on the same little model in every format.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "fixtures.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::model {
namespace {

struct Case {
  std::string name;
  std::string folder;  // empty: dummy weights, whose values follow no formula
  DType dtype;
  std::string description;  // part of describe()
};

std::unique_ptr<Checkpoint> open(const Case& c) {
  return c.folder.empty() ? open_dummy_checkpoint(little_config(), 7, c.dtype)
                          : open_checkpoint(fixture(c.folder));
}

class ReaderConformance : public testing::TestWithParam<Case> {
 protected:
  std::unique_ptr<Checkpoint> checkpoint_ = open(GetParam());
};

class FileReaders : public ReaderConformance {
};  // dummy values follow no formula; dummy_test.cpp checks them

const auto kFiles =
    testing::Values(Case{"safetensors", "safetensors", DType::f16, "safetensors checkpoint at "},
                    Case{"safetensors_sharded", "safetensors-sharded", DType::bf16, "(3 files)"},
                    Case{"torch", "torch", DType::f16, "torch .bin checkpoint at "},
                    Case{"torch_sharded", "torch-sharded", DType::f32, "(2 files)"},
                    Case{"torch_protocol_4", "torch-protocol-4", DType::bf16, "(1 file)"},
                    Case{"torch_protocol_5", "torch-protocol-5", DType::bf16, "(1 file)"},
                    Case{"npy_folder", "npy/little-np", DType::f16, "FlexGen npy checkpoint at "},
                    Case{"npy_parent", "npy", DType::f16, "(21 files)"});
const auto kDummies =
    testing::Values(Case{"dummy_fp16", "", DType::f16, "dummy weights of little (fp16, seed 7)"},
                    Case{"dummy_bf16", "", DType::bf16, "dummy weights of little (bf16, seed 7)"},
                    Case{"dummy_fp32", "", DType::f32, "dummy weights of little (fp32, seed 7)"});
std::string name_of_case(const testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Files, ReaderConformance, kFiles, name_of_case);
INSTANTIATE_TEST_SUITE_P(Dummies, ReaderConformance, kDummies, name_of_case);
INSTANTIATE_TEST_SUITE_P(Files, FileReaders, kFiles, name_of_case);

TEST_P(ReaderConformance, DescribesItself) {
  EXPECT_THAT(checkpoint_->describe(), testing::HasSubstr(GetParam().description));
}

TEST_P(ReaderConformance, FindsEveryTensorOfTheModel) {
  ASSERT_EQ(little_tensors().size(), 21U);
  for (const auto& spec : little_tensors()) {
    const auto info = checkpoint_->find(spec.name);
    ASSERT_TRUE(info) << spec.name;
    EXPECT_EQ(info->dtype, GetParam().dtype) << spec.name;
    const auto shape = spec.vector ? std::vector<std::int64_t>{spec.columns}
                                   : std::vector<std::int64_t>{spec.rows, spec.columns};
    EXPECT_EQ(info->shape, shape) << spec.name;
  }
}

TEST_P(ReaderConformance, KnowsOnlyCanonicalNames) {
  for (const auto* name : {"model.decoder.embed_tokens.weight", "embed_tokens.weight",
                           "decoder.layers.1.fc1.weight", "decoder.layer_norm.weight", "", "__metadata__"}) {
    EXPECT_FALSE(checkpoint_->find(name)) << name;
    std::byte byte{};
    EXPECT_THROW(checkpoint_->read(name, 0, 0, std::span(&byte, 0)), InputError) << name;
  }
}

TEST_P(FileReaders, ReadTheValuesOfTheFormula) {
  for (const auto& spec : little_tensors()) {
    const auto values = read_floats(*checkpoint_, spec.name);
    ASSERT_EQ(values.size(), static_cast<std::size_t>(spec.rows * spec.columns));
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(values[i], value_of(spec.name, static_cast<std::int64_t>(i)))
          << spec.name << " element " << i;
  }
}

TEST_P(ReaderConformance, EverySliceIsThatOfTheWhole) {
  const std::string name = "decoder.embed_tokens.weight";
  const auto whole = read_floats(*checkpoint_, name);
  EXPECT_GT(std::set<float>(whole.begin(), whole.end()).size(), 20U);  // equal values would hide wrong places
  const auto elements = static_cast<std::int64_t>(whole.size());
  for (std::int64_t first = 0; first <= elements; ++first)
    for (std::int64_t count = 0; count <= elements - first; ++count) {
      const auto slice = read_floats(*checkpoint_, name, first, count);
      ASSERT_TRUE(std::equal(slice.begin(), slice.end(), whole.begin() + first)) << first << " + " << count;
    }
}

TEST_P(ReaderConformance, ReadsToAnyAddress) {
  const std::string name = "decoder.layers.0.fc1.weight";
  const auto item = size_of(GetParam().dtype);
  std::vector<std::byte> aligned(9 * item), shifted(9 * item + 1);
  checkpoint_->read(name, 3, 9, aligned);
  checkpoint_->read(name, 3, 9, std::span(shifted).subspan(1));
  EXPECT_TRUE(std::equal(aligned.begin(), aligned.end(), shifted.begin() + 1));
}

TEST_P(ReaderConformance, SlicesOutsideTheTensorBreakTheContract) {
  const std::string name = "decoder.final_layer_norm.bias";  // [8]
  std::vector<std::byte> out(64);
  const auto item = size_of(GetParam().dtype);
  const auto read = [&](std::int64_t first, std::int64_t count, std::size_t bytes) {
    checkpoint_->read(name, first, count, std::span(out).first(bytes));
  };
  EXPECT_THROW(read(-1, 1, item), ContractViolation);
  EXPECT_THROW(read(8, 1, item), ContractViolation);
  EXPECT_THROW(read(7, 2, 2 * item), ContractViolation);
  EXPECT_THROW(read(1, std::numeric_limits<std::int64_t>::max(), item), ContractViolation);
  EXPECT_THROW(read(0, 2, 2 * item - 1), ContractViolation);
  EXPECT_NO_THROW(read(8, 0, 0));
}

TEST_P(ReaderConformance, SeveralThreadsReadAtOnce) {
  std::vector<std::vector<float>> expected;
  const auto reference = open(GetParam());
  for (const auto& spec : little_tensors()) expected.push_back(read_floats(*reference, spec.name));
  // checkpoint_ may not have opened a single shard yet: the threads race for that too.
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const auto specs = little_tensors();
      for (std::size_t i = 0; i < specs.size() * 5; ++i) {
        const auto tensor = (i * (t + 1) + t) % specs.size();
        if (read_floats(*checkpoint_, specs[tensor].name) != expected[tensor]) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace optpipe::model
