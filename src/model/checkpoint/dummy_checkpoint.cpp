// Dummy weights: a model of any size without files. Their scale keeps deep and wide models finite in fp16:
// matrices have a standard deviation of 1/sqrt(columns), so that a product keeps the size of its input; norms
// have weights of about 1 and biases are small, so that logits have a standard deviation of about 1.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <unordered_map>

#include "model/checkpoint/dummy_values.hpp"
#include "model/checkpoint/printable.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"
#include "optpipe/model/tensors.hpp"

namespace optpipe::model {
namespace {

constexpr double kNormDeviation = 0.05, kBiasDeviation = 0.02;

struct Scale {
  double centre, deviation;
  auto operator<=>(const Scale&) const = default;
};

Scale scale_of(const TensorSpec& spec) {
  switch (spec.role) {
    case Role::attention_norm_weight:
    case Role::final_norm_weight:
    case Role::output_norm_weight:
      return {1, kNormDeviation};
    default:
      break;
  }
  if (spec.vector) return {0, kBiasDeviation};
  return {0, 1 / std::sqrt(static_cast<double>(spec.columns))};
}

class DummyCheckpoint final : public Checkpoint {
 public:
  DummyCheckpoint(const ModelConfig& config, std::uint64_t seed, DType dtype)
      : model_(config.name), seed_(seed), dtype_(dtype) {
    add(embedding_tensors(config));
    for (std::int64_t layer = 0; layer < config.layers; ++layer) add(layer_tensors(config, LayerId(layer)));
    add(head_tensors(config));
  }

  std::string describe() const override {
    return fmt::format("dummy weights of {} ({}, seed {})", model_, name_of(dtype_), seed_);
  }

  std::optional<TensorInfo> find(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    if (found == tensors_.end()) return std::nullopt;
    return TensorInfo{dtype_, found->second.shape};
  }

  void read(std::string_view name, std::int64_t first, std::int64_t count,
            std::span<std::byte> out) const override {
    const auto found = tensors_.find(std::string(name));
    if (found == tensors_.end())
      throw InputError(fmt::format("{} has no tensor {}", describe(), printable(name)));
    const auto elements = found->second.elements;
    OPTPIPE_CHECK(first >= 0 && count >= 0 && first <= elements && count <= elements - first,
                  "elements {} + {} of a tensor of {}", first, count, elements);
    found->second.distribution->fill(dummy_key(seed_, name), first, count, out);
  }

 private:
  struct Tensor {
    std::vector<std::int64_t> shape;
    std::int64_t elements;
    const DummyDistribution* distribution;
  };

  void add(const std::vector<TensorSpec>& specs) {
    for (const auto& spec : specs) {
      const auto scale = scale_of(spec);
      const auto& distribution =
          distributions_.try_emplace(scale, scale.centre, scale.deviation, dtype_).first->second;
      auto shape = spec.vector ? std::vector{spec.columns} : std::vector{spec.rows, spec.columns};
      tensors_.try_emplace(spec.name, Tensor{std::move(shape), spec.rows * spec.columns, &distribution});
    }
  }

  std::string model_;
  std::uint64_t seed_;
  DType dtype_;
  std::map<Scale, DummyDistribution> distributions_;  // few: one per width and kind; nodes do not move
  std::unordered_map<std::string, Tensor> tensors_;
};

}  // namespace

std::unique_ptr<Checkpoint> open_dummy_checkpoint(const ModelConfig& config, std::uint64_t seed,
                                                  DType dtype) {
  return std::make_unique<DummyCheckpoint>(config, seed, dtype);
}

bool is_dummy_path(std::string_view path) { return path == "_DUMMY_" || path == "DUMMY"; }

}  // namespace optpipe::model
