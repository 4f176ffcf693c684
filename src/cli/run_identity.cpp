#include "cli/run_identity.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "optpipe/model/tensors.hpp"

namespace optpipe::cli {
namespace {

// FNV-1a, 64 bits: it tells accidents apart, not attacks.
class Digest {
 public:
  void add(std::span<const std::byte> bytes) {
    for (const auto byte : bytes) {
      value_ ^= std::to_integer<std::uint64_t>(byte);
      value_ *= 0x100000001b3;
    }
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  std::string text() const { return fmt::format("{:016x}", value_); }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

std::string digest_of_prompts(const Generation& generation) {
  Digest digest;
  for (std::size_t i = 0; i < generation.size(); ++i) {
    const Prompt& prompt = generation.source(i);
    digest.add(nlohmann::json{prompt.id, prompt.tokens, prompt.error.has_value()}.dump());
    if (prompt.max_new_tokens) digest.add(std::to_string(*prompt.max_new_tokens));
  }
  return digest.text();
}

// Of tensors that rank 0 reads in any case.
std::string digest_of_weights(const model::ModelConfig& config, const model::Checkpoint& weights) {
  constexpr std::int64_t kSample = 1024;  // elements of each tensor
  Digest digest;
  auto tensors = model::embedding_tensors(config);
  std::ranges::copy(model::layer_tensors(config, LayerId(0)), std::back_inserter(tensors));
  for (const auto& tensor : tensors) {
    const auto info = weights.find(tensor.name);
    if (!info) continue;  // the stage says so
    std::int64_t elements = 1;
    for (const auto size : info->shape) elements *= size;
    const auto count = std::min(elements, kSample);
    std::vector<std::byte> sample(static_cast<std::size_t>(count) * size_of(info->dtype));
    weights.read(tensor.name, (elements - count) / 2, count, sample);
    digest.add(tensor.name);
    digest.add(sample);
  }
  return digest.text();
}

}  // namespace

nlohmann::json run_identity(const GenerateOptions& options, const model::ModelConfig& config,
                            const model::Checkpoint& weights, const Generation& generation, bool on_gpu) {
  nlohmann::json run{{"prompts", generation.size()},
                     {"input", digest_of_prompts(generation)},
                     {"weights", digest_of_weights(config, weights)},
                     {"layers", config.layers},
                     {"device", on_gpu ? "cuda" : "cpu"},
                     {"weight_format", name_of(options.run.policy.weight_format)},
                     {"kv_format", options.run.policy.kv_format_name()},
                     {"attention_sparsity", options.run.policy.attention_sparsity},
                     {"max_new_tokens", options.max_new_tokens},
                     {"ignore_eos", options.ignore_eos},
                     {"stop", options.stop},
                     {"do_sample", options.sampling.sample}};
  if (options.sampling.sample) {
    run["temperature"] = options.sampling.temperature;
    run["top_k"] = options.sampling.top_k;
    run["top_p"] = options.sampling.top_p;
    run["seed"] = options.sampling.seed;
  }
  return run;
}

}  // namespace optpipe::cli
