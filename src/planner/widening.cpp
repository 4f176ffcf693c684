#include "optpipe/planner/widening.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "optpipe/planner/stage_plan.hpp"

namespace optpipe::planner {

Bytes widening_bytes(const RunRequest& run, const memory::Policy& policy) {
  if (!is_quantized(policy.weight_format)) return 0;
  const int ranks = static_cast<int>(run.ranks.size());
  memory::Policy kept = policy;
  kept.keep_widened = true;
  const auto bounds = bounds_of(memory::make_rounds(run.sequences, policy, ranks), policy, ranks);
  Bytes most = 0;
  for (std::size_t i = 0; i < run.ranks.size(); ++i)
    if (run.ranks[i].backend == Backend::cuda)
      most = std::max(most,
                      cuda::needs(run.config, run.slices[i], bounds, !run.device_link, kept).widened_bytes);
  return most;
}

memory::Policy settle_widening(const RunRequest& run, memory::Policy policy) {
  policy.keep_widened = widening_bytes(run, policy) > 0;
  if (policy.keep_widened) policy.keep_widened = find_shortages(run, plan_run(run, policy)).empty();
  return policy;
}

std::string describe_widening(const RunRequest& run, const memory::Policy& settled) {
  const Bytes bytes = widening_bytes(run, settled);
  if (bytes == 0) return {};
  return settled.keep_widened
             ? fmt::format(
                   "quantized weights: each layer is widened once for all batches that pass it ({} on a GPU)",
                   format_bytes(bytes))
             : fmt::format(
                   "quantized weights: each batch widens each layer, since {} more do not fit on a GPU",
                   format_bytes(bytes));
}

}  // namespace optpipe::planner
