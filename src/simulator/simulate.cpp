#include "optpipe/simulator/simulate.hpp"

#include <algorithm>
#include <deque>
#include <optional>
#include <queue>

#include "optpipe/base/check.hpp"
#include "optpipe/schedule/links.hpp"
#include "simulator/shared_work.hpp"

namespace optpipe::simulator {
namespace {

using schedule::kQueues;
using schedule::Link;
using schedule::Program;
using schedule::Queue;
using schedule::Step;
using schedule::StepKind;

// What one rank has done so far.
struct RankState {
  std::array<std::vector<std::int32_t>, kQueues> lanes;  // steps of each, in order
  std::array<std::size_t, kQueues> position{};
  std::array<bool, kQueues> busy{};  // the step at `position` runs
  std::vector<bool> done;
};

// A link's messages between the send that put them there and the receive that takes them.
struct LinkState {
  Link link;
  std::optional<StepId> send, recv;     // due, and waiting for the other end
  std::deque<schedule::StepTime> sent;  // eagerly: when the message began and ended to arrive
};

enum class Event : std::uint8_t { step_over, message_over, work_begins, work_over, recv_over };

struct Happening {
  double at_s;
  std::int64_t order;  // of what happens at the same time
  Event event;
  std::int64_t index;  // ticket, or domain
  std::int64_t version = 0;

  bool operator>(const Happening& other) const {
    return at_s != other.at_s ? at_s > other.at_s : order > other.order;
  }
};

// A step, or a send together with its receive, under way.
struct Running {
  std::int32_t rank, step;
  std::int32_t link = -1;  // of messages that end on both sides
  StepId recv{};
  double begin_s = 0;
  Cost cost;
};

class Simulator {
 public:
  Simulator(std::span<const Program> programs, std::span<const Resource> resources, const CostFunction& cost,
            const SimulationOptions& options)
      : programs_(programs), resources_(resources), cost_(cost), ranks_(programs.size()) {
    result_.times.resize(programs.size());
    result_.used.resize(resources.size());
    int domains = 1;
    for (const Resource& resource : resources) domains = std::max(domains, resource.domain + 1);
    for (int d = 0; d < domains; ++d) domains_.push_back({SharedWork(resources, result_.used), 0});
    for (std::size_t q = 0; q < kQueues; ++q) {
      const bool own = options.overlap || static_cast<Queue>(q) == Queue::send;
      lane_of_[q] = own ? q : static_cast<std::size_t>(Queue::compute);
    }
    for (std::size_t r = 0; r < programs.size(); ++r) {
      const auto& steps = programs[r].steps;
      ranks_[r].done.assign(steps.size(), false);
      for (std::size_t i = 0; i < steps.size(); ++i)
        ranks_[r].lanes[lane(steps[i])].push_back(static_cast<std::int32_t>(i));
    }
    for (const Link& link : schedule::links(programs)) links_.push_back({link, {}, {}, {}});
    outgoing_.resize(programs.size());
    incoming_.resize(programs.size());
    for (std::size_t i = 0; i < links_.size(); ++i) {
      outgoing_[links_[i].link.from].push_back(static_cast<std::int32_t>(i));
      incoming_[links_[i].link.to].push_back(static_cast<std::int32_t>(i));
    }
  }

  Simulation run() && {
    for (std::size_t r = 0; r < ranks_.size(); ++r) start_what_is_due(r);
    while (!happenings_.empty()) {
      const Happening next = happenings_.top();
      happenings_.pop();
      if (next.event == Event::work_over && domains_[index(next.index)].version != next.version) continue;
      now_s_ = next.at_s;
      handle(next);
    }
    result_.end_s = now_s_;
    for (std::size_t r = 0; r < ranks_.size(); ++r)
      for (std::size_t lane = 0; lane < kQueues; ++lane)
        if (ranks_[r].position[lane] < ranks_[r].lanes[lane].size())
          result_.stuck.push_back(
              {Rank(static_cast<std::int64_t>(r)), StepId(ranks_[r].lanes[lane][ranks_[r].position[lane]])});
    return std::move(result_);
  }

 private:
  struct Domain {
    SharedWork work;
    std::int64_t version;
  };

  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
  std::size_t lane(const Step& step) const { return lane_of_[static_cast<std::size_t>(step.queue)]; }

  void schedule(double at_s, Event event, std::int64_t index, std::int64_t version = 0) {
    happenings_.push({at_s, ++order_, event, index, version});
  }

  void handle(const Happening& next) {
    switch (next.event) {
      case Event::work_begins: {
        const Running& running = running_[index(next.index)];
        const auto d = domain_of(running.cost);
        domains_[d].work.add(now_s_, running.cost, next.index);
        return plan_end(d);
      }
      case Event::work_over: {
        const auto over = domains_[index(next.index)].work.finish(now_s_);
        plan_end(index(next.index));
        for (const std::int64_t ticket : over) finish(ticket);
        return;
      }
      default:
        return finish(next.index);
    }
  }

  void plan_end(std::size_t domain) {
    const auto end = domains_[domain].work.next_end();
    ++domains_[domain].version;
    if (end) schedule(*end, Event::work_over, static_cast<std::int64_t>(domain), domains_[domain].version);
  }

  std::size_t domain_of(const Cost& cost) const {
    const auto domain = [&](const Demand& demand) { return resources_[index(demand.resource)].domain; };
    const int first = domain(cost.demand_list[0]);
    for (const Demand& demand : cost.demands())
      OPTPIPE_CHECK(domain(demand) == first, "a step uses {} and {}, which belong to different domains",
                    resources_[index(cost.demand_list[0].resource)].name,
                    resources_[index(demand.resource)].name);
    return index(first);
  }

  void begin(Running running, Event end) {
    running.begin_s = now_s_;
    const Cost& cost = running.cost;
    std::int64_t ticket = 0;
    if (free_.empty()) {
      ticket = static_cast<std::int64_t>(running_.size());
      running_.push_back(running);
    } else {
      ticket = free_.back();
      free_.pop_back();
      running_[index(ticket)] = running;
    }
    if (cost.demand_count > 0 && cost.work_s > 0)
      schedule(now_s_ + cost.latency_s, Event::work_begins, ticket);
    else
      schedule(now_s_ + cost.latency_s + cost.work_s, end, ticket);
  }

  void finish(std::int64_t ticket) {
    const Running running = running_[index(ticket)];
    free_.push_back(ticket);
    complete(running.rank, running.step, running.begin_s);
    if (running.link >= 0) {
      const auto to = static_cast<std::int32_t>(links_[index(running.link)].link.to);
      complete(to, running.recv.value, running.begin_s);
      start_what_is_due(index(to));
    }
    start_what_is_due(index(running.rank));
  }

  void complete(std::int32_t rank, std::int32_t step, double begin_s) {
    RankState& state = ranks_[index(rank)];
    const std::size_t own = lane(programs_[index(rank)].steps[index(step)]);
    state.done[index(step)] = true;
    ++state.position[own];
    state.busy[own] = false;
    result_.times[index(rank)].push_back({StepId(step), begin_s, now_s_});
  }

  bool is_due(const RankState& state, const Step& step) const {
    return std::ranges::all_of(
        step.after, [&](StepId earlier) { return !earlier.valid() || state.done[index(earlier.value)]; });
  }

  void start_what_is_due(std::size_t rank) {
    RankState& state = ranks_[rank];
    for (std::size_t lane = 0; lane < kQueues; ++lane) {
      if (state.busy[lane] || state.position[lane] >= state.lanes[lane].size()) continue;
      const StepId id(state.lanes[lane][state.position[lane]]);
      const Step& step = programs_[rank].step(id);
      if (!is_due(state, step)) continue;
      state.busy[lane] = true;
      start(static_cast<std::int32_t>(rank), id, step);
    }
  }

  void start(std::int32_t rank, StepId id, const Step& step) {
    if (schedule::is_send(step.kind)) return start_send(rank, id, step);
    if (schedule::is_recv(step.kind)) return start_recv(rank, id, step);
    begin({rank, id.value, -1, {}, 0, cost_(programs_[index(rank)], step)}, Event::step_over);
  }

  LinkState* find_link(const std::vector<std::int32_t>& of_rank, StepKind kind, bool sends) {
    for (const std::int32_t i : of_rank)
      if ((sends ? links_[index(i)].link.send : links_[index(i)].link.recv) == kind) return &links_[index(i)];
    return nullptr;
  }

  // A send without a link, or without its receive, stays where it is: it will be among the stuck.
  void start_send(std::int32_t rank, StepId id, const Step& step) {
    LinkState* const link = find_link(outgoing_[index(rank)], step.kind, true);
    if (link == nullptr) return;
    Cost cost = cost_(programs_[index(rank)], step);
    if (!cost.eager) {
      link->send = id;
      return meet(*link);
    }
    const double arrived_s = now_s_ + cost.latency_s + cost.work_s;
    link->sent.push_back({id, now_s_ + cost.latency_s, arrived_s});
    cost.latency_s = 0;  // the sender is free as soon as the message has left
    begin({rank, id.value, -1, {}, 0, cost}, Event::step_over);
    meet(*link);
  }

  void start_recv(std::int32_t rank, StepId id, const Step& step) {
    LinkState* const link = find_link(incoming_[index(rank)], step.kind, false);
    if (link == nullptr) return;
    link->recv = id;
    meet(*link);
  }

  void meet(LinkState& link) {
    if (!link.recv) return;
    const auto from = static_cast<std::int32_t>(link.link.from), to = static_cast<std::int32_t>(link.link.to);
    if (!link.sent.empty()) {
      const schedule::StepTime message = link.sent.front();
      link.sent.pop_front();
      Cost rest;
      rest.work_s = std::max(0.0, message.end_s - now_s_);
      begin({to, link.recv->value, -1, {}, 0, rest}, Event::recv_over);
      link.recv.reset();
    } else if (link.send) {
      const Step& send = programs_[index(from)].step(*link.send);
      const auto number = static_cast<std::int32_t>(&link - links_.data());
      begin({from, link.send->value, number, *link.recv, 0, cost_(programs_[index(from)], send)},
            Event::message_over);
      link.send.reset();
      link.recv.reset();
    }
  }

  std::span<const Program> programs_;
  std::span<const Resource> resources_;
  const CostFunction& cost_;
  std::array<std::size_t, kQueues> lane_of_{};
  std::vector<RankState> ranks_;
  std::vector<LinkState> links_;
  std::vector<std::vector<std::int32_t>> outgoing_, incoming_;  // [rank]: links
  std::vector<Domain> domains_;
  std::vector<Running> running_;    // [ticket]
  std::vector<std::int64_t> free_;  // tickets
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> happenings_;
  std::int64_t order_ = 0;
  double now_s_ = 0;
  Simulation result_;
};

}  // namespace

void Cost::add(std::int32_t resource, double units_s) {
  OPTPIPE_CHECK(demand_count < kMostDemands, "a step uses more than {} resources", kMostDemands);
  if (units_s > 0) demand_list[demand_count++] = {resource, units_s};
}

Simulation simulate(std::span<const Program> programs, std::span<const Resource> resources,
                    const CostFunction& cost, const SimulationOptions& options) {
  return Simulator(programs, resources, cost, options).run();
}

}  // namespace optpipe::simulator
