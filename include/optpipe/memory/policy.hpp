// The policy: what share of each class of data lives on which tier, and how prompts are grouped.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "optpipe/base/storage_format.hpp"

namespace optpipe::memory {

enum class Tier : std::uint8_t { device, host, disk };
inline constexpr std::array<Tier, 3> kTiers{Tier::device, Tier::host, Tier::disk};
const char* name_of(Tier tier);

// Percent of the bytes of one class on the device and on the host; the rest is on disk.
struct TierShares {
  double device = 100;
  double host = 0;

  double disk() const { return 100 - device - host; }
  bool all_on_device() const { return device >= 100; }
  bool any_on_disk() const { return disk() > 0; }
};

// How layers are dealt out to ranks (model/slice.hpp).
enum class Stages : std::uint8_t { contiguous, looped };

// Where decode attends to keys and values that lie on the host.
enum class AttentionPlace : std::uint8_t {
  gpu,        // they cross to the device
  cpu,        // CPU cores attend to them where they lie
  split,      // some heads so, some so
  automatic,  // split so that both finish together
};
const char* name_of(AttentionPlace place);

// How the prompts of a micro-batch are cut into pieces that travel through the pipeline one behind the other:
// each piece goes through all layers of a stage before the next one begins.
struct PrefillCut {
  std::int64_t pieces = 1;  // of a micro-batch
  int parts = 1;            // of each GPU batch; more than one: a piece is a part of one GPU batch

  bool operator==(const PrefillCut&) const = default;
};

struct Policy {
  TierShares weights, kv, hidden;
  StorageFormat weight_format = StorageFormat::native;  // of the layers' matrices
  StorageFormat kv_format = StorageFormat::native;      // of keys and values
  // What is stored is the input X of the attention block, of which keys and values are products: one vector a
  // token and layer instead of two (docs/x-cache.md). In the model's own format, attended to on the device.
  bool x_cache = false;
  std::int64_t gpu_batch_size = 16;  // prompts computed at once
  std::int64_t gpu_batches = 1;      // of these in a micro-batch; a loaded weight serves all of them
  std::int64_t micro_batches = 0;    // in flight through the pipeline; 0: one per stage
  bool overlap = true;               // transfers run beside computation
  bool refill = false;               // places of sequences that end go to waiting prompts
  // On a GPU: the quantized matrices of the layer at hand stay in memory as halves while batches pass,
  // instead of being widened for each (planner/widening.hpp). As long as it is not settled, they do not.
  bool keep_widened = false;
  Stages stages = Stages::contiguous;
  std::int64_t chunk_layers = 1;  // of looped stages: layers that stay on the device while micro-batches pass

  // Of a micro-batch, in which its prompts pass through the pipeline. 0: chosen by planner/prefill.hpp; as
  // long as it is not, the same as 1.
  std::int64_t prefill_pieces = 0;

  AttentionPlace attention = AttentionPlace::gpu;
  // With AttentionPlace::split, what CPU cores attend to of the KV cache on the host, by bytes: 0 to 1. None:
  // so that both finish together, which planner/attention.hpp works out.
  std::optional<double> attention_share;
  // Of a rank's threads, those that attend; 0: as many as planner::attending_threads() says.
  int attention_threads = 0;
  // In decode, the part of the values before a token's own that count, those with the largest weights: 0
  // to 1.
  double attention_sparsity = 1;

  std::string_view kv_format_name() const;  // "x" or the format's, as on the command line
  // The share that goes with the place, which must have been settled (planner/attention.hpp).
  double cpu_attention() const;
  std::int64_t prompts_in_flight(int ranks) const;
  std::int64_t micro_batches_for(int ranks) const { return micro_batches > 0 ? micro_batches : ranks; }
  // As many pieces as wanted, or the next larger number that cuts GPU batches evenly, and at most one a
  // prompt. Looped stages whose hidden states are offloaded have no room for more than one.
  PrefillCut prefill_cut() const;
};

// Reads the six numbers of --percent (weights on GPU, on CPU, KV on GPU, on CPU, activations on GPU, on CPU)
// into `policy`. Throws UsageError where one is outside 0..100 or a pair exceeds 100.
void set_percent(Policy& policy, std::span<const double> six);

}  // namespace optpipe::memory
