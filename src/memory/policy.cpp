#include "optpipe/memory/policy.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::memory {

const char* name_of(AttentionPlace place) {
  constexpr std::array names{"gpu", "cpu", "split", "auto"};
  return names[static_cast<std::size_t>(place)];
}

std::string_view Policy::kv_format_name() const { return x_cache ? "x" : optpipe::name_of(kv_format); }

double Policy::cpu_attention() const {
  if (kv.host <= 0 || x_cache || attention == AttentionPlace::gpu) return 0;
  if (attention == AttentionPlace::cpu) return 1;
  OPTPIPE_CHECK(attention == AttentionPlace::split && attention_share,
                "the place of attention is still to be chosen");
  return *attention_share;
}

const char* name_of(Tier tier) {
  switch (tier) {
    case Tier::device:
      return "device";
    case Tier::host:
      return "host";
    case Tier::disk:
      return "disk";
  }
  return "?";
}

std::int64_t Policy::prompts_in_flight(int ranks) const {
  return gpu_batch_size * gpu_batches * micro_batches_for(ranks);
}

PrefillCut Policy::prefill_cut() const {
  if (prefill_pieces <= 1 || (stages == Stages::looped && !hidden.all_on_device())) return {};
  if (prefill_pieces <= gpu_batches) return {prefill_pieces, 1};
  const auto parts = std::min((prefill_pieces + gpu_batches - 1) / gpu_batches, gpu_batch_size);
  return {gpu_batches * parts, static_cast<int>(parts)};
}

namespace {

TierShares shares(const char* what, double device, double host) {
  const bool in_range = device >= 0 && host >= 0 && device + host <= 100;
  if (!in_range)
    throw UsageError(
        fmt::format("--percent gives {} {}% on the GPU and {}% on the CPU: each must lie in 0..100 and both "
                    "together must not exceed 100 (the rest goes to disk)",
                    what, device, host));
  return {device, host};
}

}  // namespace

void set_percent(Policy& policy, std::span<const double> six) {
  if (six.size() != 6)
    throw UsageError(fmt::format(
        "--percent takes six numbers (weights, KV cache, activations: each on GPU, on CPU), not {}",
        six.size()));
  policy.weights = shares("weights", six[0], six[1]);
  policy.kv = shares("the KV cache", six[2], six[3]);
  policy.hidden = shares("activations", six[4], six[5]);
}

}  // namespace optpipe::memory
