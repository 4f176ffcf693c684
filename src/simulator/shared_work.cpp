#include "simulator/shared_work.hpp"

#include <algorithm>
#include <functional>
#include <limits>

namespace optpipe::simulator {
namespace {

constexpr double kNothing = 1e-12;  // seconds, and shares of a resource: rounding, not work

}  // namespace

void SharedWork::add(double now_s, const Cost& cost, std::int64_t ticket) {
  advance(now_s);
  works_.push_back({cost.work_s, 1, cost, ticket});
  share_out();
}

std::optional<double> SharedWork::next_end() const {
  double first = std::numeric_limits<double>::infinity();
  for (const Work& work : works_) first = std::min(first, now_s_ + work.left_s / work.speed);
  if (works_.empty()) return std::nullopt;
  return first;
}

std::vector<std::int64_t> SharedWork::finish(double now_s) {
  advance(now_s);
  std::vector<std::int64_t> over;
  const auto rest = std::stable_partition(works_.begin(), works_.end(), [&](const Work& work) {
    return work.left_s / work.speed > std::max(kNothing, now_s * 1e-14);
  });
  for (auto work = rest; work != works_.end(); ++work) over.push_back(work->ticket);
  works_.erase(rest, works_.end());
  share_out();
  return over;
}

void SharedWork::advance(double now_s) {
  const double passed = now_s - now_s_;
  now_s_ = now_s;
  for (Work& work : works_) {
    work.left_s -= passed * work.speed;
    for (const Demand& demand : work.cost.demands())
      used_[static_cast<std::size_t>(demand.resource)] += passed * work.speed * demand.units_s;
  }
}

// Progressive filling: all speeds rise together; where a resource is full, its users stay as they are.
void SharedWork::share_out() {
  struct Use {
    std::int32_t resource;
    double free, wanted;  // by those that still rise
  };
  std::vector<Use> uses;
  const auto use_of = [&](std::int32_t resource) -> Use& {
    const auto found = std::ranges::find(uses, resource, &Use::resource);
    if (found != uses.end()) return *found;
    return uses.emplace_back(Use{resource, resources_[static_cast<std::size_t>(resource)].capacity, 0});
  };
  for (Work& work : works_) {
    work.speed = 0;
    for (const Demand& demand : work.cost.demands()) use_of(demand.resource).wanted += demand.units_s;
  }
  std::vector<Work*> rising;
  for (Work& work : works_) rising.push_back(&work);
  double level = 0;
  while (!rising.empty()) {
    double rise = 1 - level;
    for (const Use& use : uses)
      if (use.wanted > 0) rise = std::min(rise, use.free / use.wanted);
    level += rise;
    for (Use& use : uses) use.free -= rise * use.wanted;
    const auto is_full = [&](const Use& use) {
      return use.free <= kNothing * resources_[static_cast<std::size_t>(use.resource)].capacity;
    };
    const auto stays = [&](const Work* work) {
      return level >= 1 - kNothing || std::ranges::any_of(work->cost.demands(), [&](const Demand& demand) {
               return demand.units_s > 0 && is_full(use_of(demand.resource));
             });
    };
    const auto stopped = std::partition(rising.begin(), rising.end(), std::not_fn(stays));
    for (auto work = stopped; work != rising.end(); ++work) {
      (*work)->speed = level;
      for (const Demand& demand : (*work)->cost.demands()) use_of(demand.resource).wanted -= demand.units_s;
    }
    if (stopped == rising.end()) break;  // rounding: nothing rises any more
    rising.erase(stopped, rising.end());
  }
  for (Work* work : rising) work->speed = level;
}

}  // namespace optpipe::simulator
