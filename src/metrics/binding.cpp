#include "optpipe/metrics/binding.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace optpipe::metrics {
namespace {

using schedule::kQueues;
using schedule::Queue;

constexpr double kBinds = 0.6;            // as binding_resource() has it
constexpr double kFourBits = 36.0 / 128;  // bytes of a group of 64 values, over those of 16-bit ones
constexpr double kWorthNaming = 1.05;

struct Remedy {
  std::string name;
  double busy_s = 0;  // what it leaves on the queue
};

// The busiest of the other queues: no remedy on this one goes below it.
double next_busiest_s(const schedule::PhaseUse& use, std::size_t queue) {
  double most = 0;
  for (std::size_t q = 0; q < kQueues; ++q)
    if (q != queue) most = std::max(most, use.busy_s[q]);
  return most;
}

std::vector<Remedy> remedies(const RankWork& work, Queue queue, const Freedom& freedom) {
  const auto q = static_cast<std::size_t>(queue);
  const double busy_s = work.measured.busy_s[q], kv_s = busy_s * work.kv_share[q], weights_s = busy_s - kv_s;
  std::vector<Remedy> list;
  const bool moves = queue == Queue::load || queue == Queue::disk_read;
  if (queue == Queue::load && freedom.on_gpu && !freedom.attention_on_cores && kv_s > 0)
    list.push_back({"attention on CPU cores (--cpu-cache-compute)",
                    std::max(weights_s, work.attention_on_cores_s.value_or(0))});
  if (moves && !freedom.quantized_kv)
    list.push_back({"4-bit keys and values (--compress-cache)", weights_s + kFourBits * kv_s});
  if (moves && !freedom.quantized_weights)
    list.push_back({"4-bit weights (--compress-weight)", kFourBits * weights_s + kv_s});
  if ((queue == Queue::send || queue == Queue::recv) && freedom.on_gpu && freedom.through_host)
    list.push_back({"sending from GPU to GPU (--comm-device gpu)"});
  if (moves) list.push_back({"twice as many GPU batches (--num-gpu-batches)", weights_s / 2 + kv_s});
  return list;
}

std::string describe(const Binding& binding, const Freedom& freedom) {
  const std::string who = freedom.ranks > 1 ? fmt::format("stage {}", binding.rank) : "decode";
  if (binding.waits) {
    const std::string what = fmt::format("{} waits: its busiest queue, {}, works for {:.0f} % of decode", who,
                                         name_of(binding.queue), binding.share * 100);
    return binding.remedy.empty() ? what : fmt::format("{}; {} would fill the gaps", what, binding.remedy);
  }
  const std::string what = fmt::format("{} is bound by {}: {:.0f} % of decode", who,
                                       resource_of(binding.queue), binding.share * 100);
  if (binding.remedy.empty()) return what;
  if (binding.speedup <= 1) return fmt::format("{}; {} would help", what, binding.remedy);
  return fmt::format("{}; {} would make it up to {:.1f} times faster", what, binding.remedy, binding.speedup);
}

}  // namespace

std::optional<Binding> find_binding(const std::vector<RankWork>& ranks, const Freedom& freedom) {
  Binding binding;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const auto& use = ranks[r].measured;
    if (use.span_s <= 0) continue;
    for (std::size_t q = 0; q < kQueues; ++q)
      if (use.busy_s[q] / use.span_s > binding.share)
        binding = {.rank = r, .queue = static_cast<Queue>(q), .share = use.busy_s[q] / use.span_s};
  }
  if (binding.share <= 0) return std::nullopt;
  const RankWork& work = ranks[binding.rank];
  binding.waits = binding.share < kBinds;
  if (binding.waits) {
    if (freedom.ranks > 1 && freedom.micro_batches <= freedom.ranks)
      binding.remedy = "more micro-batches in flight (--num-inner-iterations)";
  } else if (const auto list = remedies(work, binding.queue, freedom); !list.empty()) {
    const auto& best = *std::ranges::min_element(list, {}, &Remedy::busy_s);
    const auto q = static_cast<std::size_t>(binding.queue);
    const double left_s = std::max(best.busy_s, next_busiest_s(work.measured, q));
    const double speedup = work.measured.busy_s[q] / std::max(left_s, 1e-12);
    if (speedup >= kWorthNaming) {
      binding.remedy = best.name;
      binding.speedup = speedup;
    }
  } else if (binding.queue == Queue::compute &&
             work.kv_share[static_cast<std::size_t>(Queue::compute)] < 0.5) {
    binding.remedy = "a larger --gpu-batch-size, which spreads the reading of weights over more prompts,";
  }
  binding.sentence = describe(binding, freedom);
  return binding;
}

}  // namespace optpipe::metrics
