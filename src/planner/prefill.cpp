#include "optpipe/planner/prefill.hpp"

#include <algorithm>

#include "optpipe/base/storage_format.hpp"

namespace optpipe::planner {
namespace {

constexpr std::int64_t kMostPieces = 16;  // then fill and drain are a sixteenth of what they were

// What machines of this kind have in common, well enough to choose by.
struct Rates {
  double overhead_rows;               // of a product: what it takes beyond its rows, as rows
  double flops_s;                     // of products of prompts
  double host_bytes_s, disk_bytes_s;  // of weights to the device
};
constexpr Rates kGpu{128, 600e12, 50e9, 2e9};
constexpr Rates kCpu{32, 1e12, 10e9, 1e9};

// A parameter takes two operations a row.
double rows_of_a_load(const memory::Policy& policy, DType weights, const Rates& rates) {
  const RowFormat row{policy.weight_format, weights, kGroupValues};
  const double bytes = static_cast<double>(row.row_bytes()) / static_cast<double>(kGroupValues);
  const double seconds = bytes * (policy.weights.host / 100 / rates.host_bytes_s +
                                  std::max(0.0, policy.weights.disk() / 100) / rates.disk_bytes_s);
  return seconds * rates.flops_s / 2;
}

}  // namespace

PrefillLoad prefill_load(const memory::Round& round) {
  PrefillLoad load{.micro_batches = static_cast<std::int64_t>(round.micro_batches.size())};
  for (const auto& micro_batch : round.micro_batches) {
    std::int64_t rows = 0, sequences = 0;
    for (const auto& batch : micro_batch)
      for (const auto& sequence : batch) rows += sequence.prompt_tokens, ++sequences;
    load.rows = std::max(load.rows, rows);
    load.sequences = std::max(load.sequences, sequences);
  }
  return load;
}

std::int64_t best_prefill_pieces(const memory::Policy& policy, const PrefillLoad& load, int ranks,
                                 DType weights, Backend backend) {
  if (ranks == 1 || policy.stages == memory::Stages::looped) return 1;
  const Rates& rates = backend == Backend::cuda ? kGpu : kCpu;
  const double weights_rows = rows_of_a_load(policy, weights, rates);
  const auto time = [&](std::int64_t pieces) {
    const auto q = static_cast<double>(pieces);
    const double stage = std::max(static_cast<double>(load.rows) + q * rates.overhead_rows, q * weights_rows);
    const auto largest = (load.sequences + pieces - 1) / pieces;
    return stage * (static_cast<double>(load.micro_batches) +
                    static_cast<double>((ranks - 1) * largest) / static_cast<double>(load.sequences));
  };
  std::int64_t best = 1;
  for (std::int64_t pieces = 2; pieces <= std::min(kMostPieces, load.sequences); ++pieces) {
    const bool even =
        pieces < policy.gpu_batches ? policy.gpu_batches % pieces == 0 : pieces % policy.gpu_batches == 0;
    if (even && time(pieces) < time(best)) best = pieces;
  }
  return best;
}

memory::Policy settle_prefill(memory::Policy policy, const std::vector<memory::Round>& rounds, int ranks,
                              DType weights, Backend backend) {
  if (policy.prefill_pieces == 0)
    policy.prefill_pieces =
        rounds.empty() ? 1
                       : best_prefill_pieces(policy, prefill_load(rounds.front()), ranks, weights, backend);
  return policy;
}

}  // namespace optpipe::planner
