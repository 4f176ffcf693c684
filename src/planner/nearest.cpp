#include "optpipe/planner/nearest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace optpipe::planner {
namespace {

using memory::Policy;
using memory::Tier;
using memory::TierShares;
using Clock = std::chrono::steady_clock;

constexpr std::array kMovable{MemoryClass::weights, MemoryClass::kv, MemoryClass::activations};
constexpr double kDiskWeight = 3;   // a disk is slower than a link to the host by more than that
constexpr double kSizeLoss = 0.15;  // so that some batches go rather than that all become smaller
constexpr int kMostMoves = 40;

TierShares& shares(Policy& policy, MemoryClass what) {
  if (what == MemoryClass::weights) return policy.weights;
  return what == MemoryClass::kv ? policy.kv : policy.hidden;
}
const TierShares& shares(const Policy& policy, MemoryClass what) {
  return shares(const_cast<Policy&>(policy), what);
}

double on(const TierShares& shares, Tier tier) {
  if (tier == Tier::disk) return shares.disk();
  return tier == Tier::device ? shares.device : shares.host;
}

void move(TierShares& shares, Tier from, Tier to, double points) {
  const auto add = [&](Tier tier, double change) {
    if (tier == Tier::device) shares.device += change;
    if (tier == Tier::host) shares.host += change;
  };
  add(from, -points);
  add(to, points);
}

class Search {
 public:
  Search(const RunRequest& run, const Policy& asked, Clock::time_point deadline)
      : run_(run), asked_(asked), deadline_(deadline) {
    Ledger all;
    for (const Ledger& ledger : plan_run(run, asked)) all += ledger;
    for (const MemoryClass what : kMovable) {
      for (const Place place : kPlaces) class_bytes_[index(what)] += static_cast<double>(all.at(place, what));
      total_bytes_ += class_bytes_[index(what)];
    }
  }

  std::optional<NearestPolicy> find() {
    for (const Policy& batches : batch_choices()) {
      if (best_ && batch_loss(batches) >= best_loss_) break;
      for (const bool weights_first : {false, true}) try_moves(batches, weights_first);
      if (Clock::now() > deadline_) break;
    }
    if (best_) best_->changes = describe_changes(best_->policy);
    return std::move(best_);
  }

 private:
  static std::size_t index(MemoryClass what) { return static_cast<std::size_t>(what); }

  std::int64_t in_flight(const Policy& policy) const {
    return std::min(policy.prompts_in_flight(static_cast<int>(run_.ranks.size())),
                    static_cast<std::int64_t>(run_.sequences.size()));
  }

  double batch_loss(const Policy& policy) const {
    const double kept = static_cast<double>(in_flight(policy)) / static_cast<double>(in_flight(asked_));
    return 1 - kept + (policy.gpu_batch_size < asked_.gpu_batch_size ? kSizeLoss : 0);
  }

  double move_loss(const Policy& policy) const {
    double loss = 0;
    for (const MemoryClass what : kMovable) {
      double moved = 0;
      for (const Tier tier : memory::kTiers) {
        const double change = on(shares(policy, what), tier) - on(shares(asked_, what), tier);
        moved += std::max(change, 0.0) * (tier == Tier::disk ? kDiskWeight : 1);
      }
      loss += moved / 100 * class_bytes_[index(what)] / std::max(total_bytes_, 1.0);
    }
    return loss;
  }

  static std::set<std::int64_t> smaller(std::int64_t most) {
    std::set<std::int64_t> values;
    if (most <= 12)
      for (std::int64_t value = 1; value <= most; ++value) values.insert(value);
    for (double value = static_cast<double>(most); value >= 1; value /= 2)
      for (const double eighths : {8, 7, 6, 5})
        values.insert(std::max(std::int64_t{1}, static_cast<std::int64_t>(value * eighths / 8)));
    return values;
  }

  // With the least loss first.
  std::vector<Policy> batch_choices() const {
    std::vector<Policy> choices;
    for (const auto size : smaller(asked_.gpu_batch_size)) {
      for (const auto batches : smaller(asked_.gpu_batches)) {
        choices.push_back(asked_);
        choices.back().gpu_batch_size = size;
        choices.back().gpu_batches = batches;
      }
    }
    std::ranges::stable_sort(choices, {}, [&](const Policy& policy) { return batch_loss(policy); });
    return choices;
  }

  void try_moves(Policy policy, bool weights_first) {
    std::set<Place> full;  // what has once been short takes nothing more, or moves would go round in circles
    for (int i = 0; i < kMostMoves && Clock::now() <= deadline_; ++i) {
      const double loss = batch_loss(policy) + move_loss(policy);
      if (best_ && loss >= best_loss_) return;
      auto ledgers = plan_run(run_, policy);
      const auto shortages = find_shortages(run_, ledgers);
      if (shortages.empty()) {
        best_ = NearestPolicy{policy, std::move(ledgers), {}};
        best_loss_ = loss;
        return;
      }
      full.insert(shortages.front().place);
      if (!make_room(policy, shortages.front(), ledgers, full, weights_first)) return;
    }
  }

  // Moves of one class as much as is missing, to wherever there is room for it.
  bool make_room(Policy& policy, const Shortage& shortage, const std::vector<Ledger>& ledgers,
                 const std::set<Place>& full, bool weights_first) const {
    using enum MemoryClass;
    const auto order =
        weights_first ? std::array{weights, kv, activations} : std::array{kv, weights, activations};
    const auto rank = static_cast<std::size_t>(shortage.ranks.front());
    for (const auto& [from, to] : routes(shortage, rank)) {
      const Place place = place_of(to, rank);
      if (full.contains(place)) continue;
      // What is too much for the host moves on to the disk.
      if (to != Tier::host && room_left(run_, ledgers, rank, place) < shortage.excess()) continue;
      for (const MemoryClass what : order) {
        const double share = on(shares(policy, what), from);
        const double bytes = class_bytes_[index(what)] * share / 100 * of_these(shortage, ledgers);
        if (share <= 0 || bytes <= 0) continue;
        const double missing = std::ceil(static_cast<double>(shortage.excess()) / (bytes / share));
        move(shares(policy, what), from, to, std::min(share, std::max(1.0, missing)));
        return true;
      }
    }
    return false;
  }

  // The part of all classes' bytes that the ranks of the shortage own.
  double of_these(const Shortage& shortage, const std::vector<Ledger>& ledgers) const {
    double all = 0, these = 0;
    for (std::size_t i = 0; i < ledgers.size(); ++i) {
      double bytes = 0;
      for (const MemoryClass what : kMovable)
        for (const Place place : kPlaces) bytes += static_cast<double>(ledgers[i].at(place, what));
      all += bytes;
      if (std::ranges::find(shortage.ranks, static_cast<int>(i)) != shortage.ranks.end()) these += bytes;
    }
    return all > 0 ? these / all : 1;
  }

  Place place_of(Tier tier, std::size_t rank) const {
    if (tier == Tier::disk) return Place::disk;
    return tier == Tier::device && run_.ranks[rank].backend == Backend::cuda ? Place::gpu : Place::plain;
  }

  std::vector<std::pair<Tier, Tier>> routes(const Shortage& shortage, std::size_t rank) const {
    if (shortage.place == Place::gpu) return {{Tier::device, Tier::host}, {Tier::device, Tier::disk}};
    if (shortage.place == Place::disk) return {{Tier::disk, Tier::host}};
    if (run_.ranks[rank].backend == Backend::cuda)
      return {{Tier::host, Tier::device}, {Tier::host, Tier::disk}};
    return {{Tier::host, Tier::disk}, {Tier::device, Tier::disk}};
  }

  std::vector<std::string> describe_changes(const Policy& policy) const {
    std::vector<std::string> changes;
    if (policy.gpu_batches != asked_.gpu_batches)
      changes.push_back(fmt::format("{} instead of {} GPU batches", policy.gpu_batches, asked_.gpu_batches));
    if (policy.gpu_batch_size != asked_.gpu_batch_size)
      changes.push_back(
          fmt::format("GPU batches of {} instead of {}", policy.gpu_batch_size, asked_.gpu_batch_size));
    if (!changes.empty())
      changes.back() +=
          fmt::format(" ({} instead of {} prompts in flight)", in_flight(policy), in_flight(asked_));
    for (const MemoryClass what : kMovable)
      for (const Tier tier : memory::kTiers) {
        const double change = on(shares(policy, what), tier) - on(shares(asked_, what), tier);
        if (change > 1e-9)
          changes.push_back(fmt::format("{:g} % of the {} to {}", change, name_of(what),
                                        tier == Tier::device ? "the GPU" : memory::name_of(tier)));
      }
    return changes;
  }

  const RunRequest& run_;
  Policy asked_;
  Clock::time_point deadline_;
  std::array<double, kMemoryClasses.size()> class_bytes_{};
  double total_bytes_ = 0;
  std::optional<NearestPolicy> best_;
  double best_loss_ = 0;
};

}  // namespace

std::optional<NearestPolicy> find_nearest(const RunRequest& run, const Policy& asked,
                                          std::chrono::duration<double> time) {
  return Search(run, asked, Clock::now() + std::chrono::duration_cast<Clock::duration>(time)).find();
}

std::string flags_of(const Policy& policy) {
  const std::string stages = policy.stages == memory::Stages::looped
                                 ? fmt::format(" --stages looped --chunk-layers {}", policy.chunk_layers)
                                 : "";
  const std::string pieces =
      policy.prefill_pieces > 1 ? fmt::format(" --prefill-pieces {}", policy.prefill_pieces) : "";
  return fmt::format("--percent {:g} {:g} {:g} {:g} {:g} {:g} --gpu-batch-size {} --num-gpu-batches {}{}{}",
                     policy.weights.device, policy.weights.host, policy.kv.device, policy.kv.host,
                     policy.hidden.device, policy.hidden.host, policy.gpu_batch_size, policy.gpu_batches,
                     stages, pieces);
}

}  // namespace optpipe::planner
