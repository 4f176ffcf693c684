// Runs a model through any number of in-process ranks, for tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "optpipe/executor/stage.hpp"

namespace optpipe::test {

struct Setting {
  int ranks = 1;
  std::vector<double> percent{100, 0, 100, 0, 100, 0};
  std::int64_t gpu_batch_size = 4, gpu_batches = 1, micro_batches = 0;
  bool overlap = true;
  int threads = 1;
  bool cuda = false;  // on GPU 0, which several ranks share
  bool nccl = false;  // each rank on a GPU of its own, hidden states from GPU to GPU
  kernels::SamplingOptions sampling{};
  StorageFormat weight_format = StorageFormat::native, kv_format = StorageFormat::native;
  std::int64_t chunk_layers = 0;  // of looped stages; 0: contiguous ones
  memory::AttentionPlace attention = memory::AttentionPlace::gpu;
  double attention_share = 0.5, attention_sparsity = 1;
  bool refill = false, x_cache = false, keep_widened = false;
  std::int64_t prefill_pieces = 1;
  // What stands between a rank and its connection; nothing where it is empty.
  std::function<std::unique_ptr<comm::Transport>(std::unique_ptr<comm::Transport>)> wrap{};
};
std::string to_string(const Setting& setting);

struct Timeline {
  int rank = 0;
  schedule::Program program;
  std::vector<schedule::StepTime> times;
};

struct Output {
  std::vector<std::vector<std::int32_t>> tokens;                               // [prompt][new token]
  std::map<std::int64_t, std::vector<float>> first_logits;                     // [prompt] → [V]
  std::map<std::int64_t, std::vector<float>> last_logits;                      // of its last token
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<float>> logits;  // [prompt, token step] → [V]
  std::vector<Timeline> timelines;                                             // of all rounds of all ranks
};

// Generates exactly new_tokens[i] tokens for prompts[i], unless `eos` comes first (-1: nothing ends a
// prompt).
Output run_pipeline(const std::filesystem::path& model, const Setting& setting,
                    const std::vector<std::vector<std::int32_t>>& prompts,
                    const std::vector<std::int64_t>& new_tokens, std::int32_t eos = -1);

}  // namespace optpipe::test
