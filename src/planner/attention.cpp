#include "optpipe/planner/attention.hpp"

#include <algorithm>
#include <cmath>

#include "optpipe/planner/kv.hpp"
#include "optpipe/planner/weights.hpp"

namespace optpipe::planner {
namespace {

using memory::AttentionPlace;

// A share too small to be worth several batches under way.
constexpr double kLeastShare = 0.02;

// Of a sequence's capacity, what decode reads on average.
double mean_fill(const memory::Round& round) {
  double read = 0, capacity = 0;
  for (const auto& micro_batch : round.micro_batches) {
    for (const auto& batch : micro_batch) {
      for (const auto& sequence : batch) {
        read += static_cast<double>(sequence.prompt_tokens) + static_cast<double>(sequence.new_tokens) / 2;
        capacity += static_cast<double>(sequence.kv_positions());
      }
    }
  }
  return capacity > 0 ? std::min(1.0, read / capacity) : 1;
}

}  // namespace

int attending_threads(int threads) { return threads < 8 ? threads : threads - threads / 8; }

// Measured on machines with one NUMA node and a GPU that pulls at full speed: 8 cores 80 beside 54 GB/s, 16
// cores 121 (113 on another) beside 47, 64 cores 163 beside 41.
AttentionCeilings described_ceilings(int cores) {
  struct Point {
    double cores, cpu, link;
  };
  constexpr std::array points{Point{1, 10e9, 54e9}, Point{8, 80e9, 54e9}, Point{16, 117e9, 47e9},
                              Point{64, 163e9, 41e9}};
  const auto n = std::clamp<double>(cores, points.front().cores, points.back().cores);
  auto upper = points.begin() + 1;
  while (upper + 1 != points.end() && upper->cores < n) ++upper;
  const Point &a = *(upper - 1), &b = *upper;
  const double part = (n - a.cores) / (b.cores - a.cores);
  return {.link_bytes_s = a.link + part * (b.link - a.link), .cpu_bytes_s = a.cpu + part * (b.cpu - a.cpu)};
}

double balanced_share(const StepTraffic& traffic, const AttentionCeilings& ceilings) {
  if (traffic.host_kv <= 0) return 0;
  const double all_on_link = (traffic.link + traffic.host_kv) / ceilings.link_bytes_s;
  const double share =
      all_on_link / (traffic.host_kv * (1 / ceilings.link_bytes_s + 1 / ceilings.cpu_bytes_s));
  return std::clamp(share, 0.0, 1.0);
}

double step_seconds(const StepTraffic& traffic, const AttentionCeilings& ceilings, double share) {
  const double link = traffic.link + (1 - share) * traffic.host_kv, cpu = share * traffic.host_kv;
  const double link_s = link / ceilings.link_bytes_s, cpu_s = cpu / ceilings.cpu_bytes_s;
  const double both_s = std::min(link_s, cpu_s);
  const double link_alone = std::max(ceilings.link_alone_bytes_s, ceilings.link_bytes_s),
               cpu_alone = std::max(ceilings.cpu_alone_bytes_s, ceilings.cpu_bytes_s);
  return both_s + (link - both_s * ceilings.link_bytes_s) / link_alone +
         (cpu - both_s * ceilings.cpu_bytes_s) / cpu_alone;
}

double best_share(const StepTraffic& traffic, const AttentionCeilings& ceilings) {
  if (traffic.host_kv <= 0) return 0;
  const double balanced = balanced_share(traffic, ceilings);
  const double enough = (1 + kLeastGain) * step_seconds(traffic, ceilings, balanced);
  for (const double simple : {1.0, 0.0})
    if (step_seconds(traffic, ceilings, simple) <= enough) return simple;
  return balanced;
}

AttentionCeilings choose_threads(const StepTraffic& traffic, const std::vector<AttentionCeilings>& measured) {
  std::vector<AttentionCeilings> choices{measured.front()};
  for (std::size_t i = 1; i < measured.size(); ++i) {
    const auto &a = measured[i - 1], &b = measured[i];
    for (int threads = a.threads + 1; threads <= b.threads; ++threads) {
      const double part = static_cast<double>(threads - a.threads) / (b.threads - a.threads);
      choices.push_back({std::lerp(a.link_bytes_s, b.link_bytes_s, part),
                         std::lerp(a.cpu_bytes_s, b.cpu_bytes_s, part),
                         std::lerp(a.link_alone_bytes_s, b.link_alone_bytes_s, part),
                         std::lerp(a.cpu_alone_bytes_s, b.cpu_alone_bytes_s, part), threads});
    }
  }
  const auto seconds = [&](const AttentionCeilings& each) {
    return step_seconds(traffic, each, best_share(traffic, each));
  };
  const double least = seconds(*std::ranges::min_element(choices, {}, seconds));
  return *std::ranges::find_if(choices, [&](const AttentionCeilings& each) {
    return seconds(each) <= (1 + kFewerThreadsMayCost) * least;
  });
}

StepTraffic step_traffic(const model::ModelConfig& config, const std::vector<model::StageSlice>& slices,
                         const memory::Policy& policy, const memory::Round& round, DType weights,
                         Backend backend) {
  const bool gpu = backend == Backend::cuda;
  const DType dtype = gpu ? DType::f16 : weights;
  memory::Policy on_gpu = policy;
  on_gpu.attention = AttentionPlace::gpu;
  const double passes = static_cast<double>(round.micro_batches.size()), fill = mean_fill(round);
  StepTraffic traffic;
  for (const auto& slice : slices) {
    for (const auto& group :
         plan_weights(config, slice, dtype, policy.weights, gpu, policy.weight_format).groups)
      traffic.link += passes * static_cast<double>(group.slot_bytes());
    const auto kv = lay_out_kv(config, slice, round, on_gpu, gpu ? DType::f16 : kv_dtype_for(weights));
    traffic.link += fill * static_cast<double>(kv.bytes[2]);
    traffic.host_kv += fill * static_cast<double>(kv.bytes[1]);
  }
  return traffic;
}

bool is_settled(const memory::Policy& policy) {
  return policy.attention == AttentionPlace::gpu || policy.attention == AttentionPlace::cpu ||
         (policy.attention == AttentionPlace::split && policy.attention_share);
}

memory::Policy settle_attention(memory::Policy policy, const model::ModelConfig& config,
                                const std::vector<model::StageSlice>& slices,
                                const std::vector<memory::Round>& rounds, DType weights, Backend backend,
                                const std::vector<AttentionCeilings>& ceilings) {
  if (is_settled(policy)) return policy;
  const bool automatic = policy.attention == AttentionPlace::automatic;
  const bool measured = !ceilings.empty() && std::ranges::all_of(ceilings, [](const auto& each) {
    return each.link_bytes_s > 0 && each.cpu_bytes_s > 0;
  });
  if (rounds.empty() || (automatic && backend == Backend::cpu) || !measured || policy.x_cache) {
    policy.attention = AttentionPlace::gpu;
    return policy;
  }
  const auto traffic = step_traffic(config, slices, policy, rounds.front(), weights, backend);
  const auto chosen = choose_threads(traffic, ceilings);
  const double share = best_share(traffic, chosen);
  policy.attention_share = share;
  policy.attention_threads = chosen.threads;
  policy.attention = automatic && share < kLeastShare ? AttentionPlace::gpu : AttentionPlace::split;
  return policy;
}

}  // namespace optpipe::planner
