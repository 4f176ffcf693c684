#include "optpipe/simulator/search.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>

#include "optpipe/planner/prefill.hpp"
#include "optpipe/planner/widening.hpp"
#include "simulator/quick_rate.hpp"

namespace optpipe::simulator {
namespace {

using memory::Policy;
using memory::TierShares;

struct Candidate {
  int ranks = 1;
  Policy policy;
  double token_s = 0;  // by the formula
};

// Whole percent, as a user would write them.
TierShares split(double device, double host) {
  device = std::clamp(std::floor(device), 0.0, 100.0);
  return {device, std::clamp(std::floor(host), 0.0, 100 - device)};
}

class Searcher {
 public:
  explicit Searcher(const SearchRequest& request)
      : request_(request),
        end_(std::chrono::steady_clock::now() +
             std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                 std::chrono::duration<double>(request.seconds))) {}

  SearchResult run() && {
    auto candidates = rate_grid();
    // Of each number of ranks some, since the formula knows their order only roughly.
    std::ranges::stable_sort(candidates, std::greater{}, &Candidate::token_s);
    std::map<std::tuple<int, StorageFormat, std::string_view, memory::Stages, memory::AttentionPlace>, int>
        taken;
    for (const Candidate& candidate : candidates) {
      if (is_over()) break;
      int& count = taken[{candidate.ranks, candidate.policy.weight_format, candidate.policy.kv_format_name(),
                          candidate.policy.stages, candidate.policy.attention}];
      if (count == kSimulatedOfEach) continue;
      if (try_one(candidate.ranks, candidate.policy)) ++count;
    }
    refine();
    return std::move(result_);
  }

 private:
  static constexpr int kSimulatedOfEach = 6;
  using Key = std::tuple<int, double, double, double, double, double, double, std::int64_t, std::int64_t,
                         std::int64_t, StorageFormat, std::string_view, memory::Stages, std::int64_t,
                         memory::AttentionPlace>;

  static Key key_of(int ranks, const Policy& p) {
    return {ranks,           p.weights.device,   p.weights.host,   p.kv.device,    p.kv.host,
            p.hidden.device, p.hidden.host,      p.gpu_batch_size, p.gpu_batches,  p.micro_batches,
            p.weight_format, p.kv_format_name(), p.stages,         p.chunk_layers, p.attention};
  }

  bool is_over() const { return std::chrono::steady_clock::now() >= end_; }

  // ---- the grid
  std::vector<Candidate> rate_grid() {
    std::vector<Candidate> candidates;
    for (const int ranks : request_.ranks)
      for (const StorageFormat weights : request_.weight_formats)
        for (const auto& [kv, x_cache] : caches())
          for (Policy policy : batch_sizes(ranks)) {
            policy.weight_format = weights;
            policy.kv_format = kv;
            policy.x_cache = x_cache;
            for (const auto place : {memory::AttentionPlace::gpu, memory::AttentionPlace::automatic})
              for (const auto stages : {memory::Stages::contiguous, memory::Stages::looped}) {
                if (place != memory::AttentionPlace::gpu && (x_cache || !request_.site.machine.device.is_gpu))
                  continue;
                if (stages != memory::Stages::contiguous && ranks == 1) continue;
                policy.attention = place;
                policy.stages = stages;
                rate_shares(ranks, policy, candidates);
              }
          }
    return candidates;
  }

  // Formats of keys and values, and whether X stands for them.
  std::vector<std::pair<StorageFormat, bool>> caches() const {
    std::vector<std::pair<StorageFormat, bool>> list;
    for (const StorageFormat format : request_.kv_formats) list.emplace_back(format, false);
    if (request_.x_cache) list.emplace_back(StorageFormat::native, true);
    return list;
  }

  std::vector<Policy> batch_sizes(int ranks) const {
    std::vector<Policy> policies;
    for (const std::int64_t batch : {1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256})
      for (const std::int64_t batches : {1, 2, 3, 4, 6, 8, 12, 16})
        for (const std::int64_t turns : {1, 2, 4}) {
          if (turns > 1 && ranks == 1) break;  // GPU batches do the same there
          Policy policy;
          policy.gpu_batch_size = batch;
          policy.gpu_batches = batches;
          if (turns > 1) policy.micro_batches = turns * ranks;
          if (request_.prompts == 0 || policy.prompts_in_flight(ranks) <= 2 * request_.prompts)
            policies.push_back(policy);
        }
    return policies;
  }

  double budget(const std::optional<Bytes>& given, Bytes machine) const {
    return static_cast<double>(given.value_or(machine));
  }

  // Weights and hidden states in steps; of keys and values as much on the device, and then on the host, as
  // there is room.
  void rate_shares(int ranks, Policy policy, std::vector<Candidate>& candidates) {
    const int on_node = std::min(request_.site.ranks_per_node, ranks);
    const bool gpu = request_.site.machine.device.is_gpu;
    const double host_room =
        0.97 * budget(request_.site.host_memory, request_.site.machine.host_memory.bytes) / on_node;
    const double device_room =
        gpu ? 0.97 * budget(request_.site.gpu_memory, request_.site.machine.device.memory) : host_room;
    const auto fits = [&](const QuickRate& rate) {
      return gpu ? rate.gpu_bytes <= device_room && rate.host_bytes <= host_room
                 : rate.gpu_bytes + rate.host_bytes <= host_room;
    };
    for (const double hidden : {100.0, 0.0})
      for (double weights = 100; weights >= 0; weights -= 10)
        for (const double weights_on_disk : {0.0, 50.0, 100.0}) {
          policy.weights = split(weights, (100 - weights) * (1 - weights_on_disk / 100));
          if (weights == 100 && weights_on_disk > 0) continue;
          policy.hidden = split(hidden, 100 - hidden);
          for (const double kv_on_disk : {0.0, 50.0, 100.0}) {
            // The largest share on the device that fits, by halving.
            std::optional<Candidate> best;
            double low = 0, high = 100;
            for (int i = 0; i < 7; ++i) {
              const double kv = i == 0 ? 100 : i == 1 ? 0 : (low + high) / 2;
              policy.kv = split(kv, (100 - kv) * (1 - kv_on_disk / 100));
              const auto rate = quick_rate(request_, ranks, policy);
              ++result_.rated;
              if (!fits(rate)) {
                high = kv;
                if (kv == 0) break;
                continue;
              }
              low = kv;
              if (!best || rate.token_s > best->token_s) best = Candidate{ranks, policy, rate.token_s};
              if (kv == 100) break;
            }
            if (best) candidates.push_back(*best);
            if (policy.kv.device == 100) break;
          }
        }
  }

  // ---- by the planner and the simulator
  // Whether it was new, fits and was simulated.
  bool try_one(int ranks, const Policy& policy) {
    if (!seen_.emplace(key_of(ranks, policy), true).second) return false;
    auto sequences =
        equal_sequences(request_.prompts > 0 ? request_.prompts : policy.prompts_in_flight(ranks),
                        request_.prompt_tokens, request_.new_tokens);
    const auto prompts = static_cast<std::int64_t>(sequences.size());
    const bool looped = policy.stages == memory::Stages::looped;
    auto slices = looped ? model::loop_stages(request_.config, ranks, policy.chunk_layers)
                         : model::balance_stages(request_.config, ranks);
    const auto plan = make_request(request_.site, request_.config, std::move(slices), request_.weights,
                                   std::move(sequences));
    auto settled = settle(plan, policy);
    if (settled) settled = planner::settle_widening(plan, *settled);
    if (!settled || !planner::find_shortages(plan, planner::plan_run(plan, *settled)).empty()) return false;
    Found found{ranks, policy, prompts,
                predict(make_scenario(request_.site, plan, *settled), request_.site.machine), 0};
    ++result_.simulated;
    if (!found.prediction.deadlock.empty()) return false;
    found.token_s = static_cast<double>(prompts * request_.new_tokens) / found.prediction.total_s();
    keep(std::move(found));
    return true;
  }

  // With the pieces of prefill and its place of attention chosen; nothing where that is the GPU after all, as
  // other candidates have it.
  std::optional<Policy> settle(const planner::RunRequest& plan, const Policy& chosen) const {
    const auto ranks = static_cast<int>(plan.slices.size());
    const auto rounds = memory::make_rounds(plan.sequences, chosen, ranks);
    const auto policy = planner::settle_prefill(chosen, rounds, ranks, plan.ranks.front().weights,
                                                plan.ranks.front().backend);
    if (planner::is_settled(policy)) return policy;
    const auto settled = planner::settle_attention(
        policy, plan.config, plan.slices, rounds, plan.ranks.front().weights, plan.ranks.front().backend,
        {attention_ceilings(request_.site.machine, policy.kv_format)});
    if (settled.attention == memory::AttentionPlace::gpu) return std::nullopt;
    return settled;
  }

  static bool are_alike(const Found& a, const Found& b) {
    return a.ranks == b.ranks && a.policy.gpu_batch_size == b.policy.gpu_batch_size &&
           a.policy.gpu_batches == b.policy.gpu_batches && a.policy.micro_batches == b.policy.micro_batches &&
           a.policy.weight_format == b.policy.weight_format &&
           a.policy.kv_format_name() == b.policy.kv_format_name() && a.policy.stages == b.policy.stages &&
           (a.policy.attention == memory::AttentionPlace::gpu) ==
               (b.policy.attention == memory::AttentionPlace::gpu);
  }

  // Of those that differ in percentages alone, the best.
  void keep(Found found) {
    auto& best = result_.best;
    const auto alike =
        std::ranges::find_if(best, [&](const Found& other) { return are_alike(found, other); });
    if (alike != best.end()) {
      if (alike->token_s >= found.token_s) return;
      *alike = std::move(found);
    } else {
      best.push_back(std::move(found));
    }
    std::ranges::stable_sort(best, std::greater{}, &Found::token_s);
    if (best.size() > request_.keep) best.resize(request_.keep);
  }

  // Small steps from the best, as long as one of them is better.
  void refine() {
    for (std::size_t start = 0; start < result_.best.size() && start < 2 && !is_over(); ++start) {
      for (double step = 8; step >= 1 && !is_over();) {
        if (start >= result_.best.size()) return;
        const Found from = result_.best[start];
        for (const Policy& neighbour : neighbours(from.policy, step))
          if (!is_over()) try_one(from.ranks, neighbour);
        if (from.ranks > 1 && !is_over()) try_one(from.ranks, other_stages(from.policy));
        if (from.policy.stages == memory::Stages::looped && !is_over())
          try_one(from.ranks, longer_chunks(from));
        const bool moved = result_.best[start].token_s > from.token_s * 1.001;
        if (!moved) step /= 2;
      }
    }
  }

  // Looped instead of contiguous stages, or the other way round.
  static Policy other_stages(Policy policy) {
    const bool looped = policy.stages == memory::Stages::looped;
    policy.stages = looped ? memory::Stages::contiguous : memory::Stages::looped;
    return policy;
  }

  Policy longer_chunks(const Found& from) const {
    Policy policy = from.policy;
    if (2 * policy.chunk_layers * from.ranks <= request_.config.layers) policy.chunk_layers *= 2;
    return policy;
  }

  static std::vector<Policy> neighbours(const Policy& policy, double step) {
    std::vector<Policy> all;
    const auto add = [&](auto change) {
      Policy next = policy;
      change(next);
      all.push_back(next);
    };
    const auto move = [](TierShares& shares, double device, double host) {
      const double to_device = std::clamp(shares.device + device, 0.0, 100.0);
      shares = split(to_device, shares.host + host - (to_device - shares.device));
    };
    for (const auto part : {&Policy::weights, &Policy::kv, &Policy::hidden})
      for (const double sign : {1.0, -1.0}) {
        add([&](Policy& p) { move(p.*part, sign * step, 0); });
        if ((policy.*part).any_on_disk()) add([&](Policy& p) { move(p.*part, 0, sign * step); });
      }
    // What one class gives up the other takes.
    add([&](Policy& p) { move(p.weights, step, 0), move(p.kv, -step, 0); });
    add([&](Policy& p) { move(p.weights, -step, 0), move(p.kv, step, 0); });
    for (const double factor : {1 + step / 16, 1 / (1 + step / 16)})
      add([&](Policy& p) {
        const auto size = static_cast<double>(p.gpu_batch_size);
        p.gpu_batch_size =
            std::max<std::int64_t>(1, factor > 1 ? static_cast<std::int64_t>(std::ceil(size * factor))
                                                 : static_cast<std::int64_t>(size * factor));
      });
    add([](Policy& p) { ++p.gpu_batches; });
    if (policy.micro_batches > 1) {
      add([](Policy& p) { p.micro_batches += std::max<std::int64_t>(1, p.micro_batches / 8); });
      add([](Policy& p) { p.micro_batches -= std::max<std::int64_t>(1, p.micro_batches / 8); });
    }
    if (policy.gpu_batches > 1) add([](Policy& p) { --p.gpu_batches; });
    return all;
  }

  const SearchRequest& request_;
  std::chrono::steady_clock::time_point end_;
  std::map<Key, bool> seen_;
  SearchResult result_;
};

}  // namespace

SearchResult search(const SearchRequest& request) { return Searcher(request).run(); }

}  // namespace optpipe::simulator
