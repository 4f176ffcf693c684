#include "optpipe/metrics/trace.hpp"

#include <gmock/gmock.h>

#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "optpipe/comm/in_process.hpp"
#include "unit/schedule/programs.hpp"

namespace optpipe::metrics {
namespace {

using nlohmann::json;
using schedule::Program;
using schedule::StepTime;

// Each rank's steps take a millisecond each, one after another, from `begin` on.
json trace_of(const std::vector<Program>& programs, const std::vector<double>& begins, StepId last = {}) {
  std::string text;
  comm::InProcessWorld world(static_cast<int>(programs.size()));
  {
    std::vector<std::jthread> threads;
    for (std::size_t rank = 0; rank < programs.size(); ++rank)
      threads.emplace_back([&, rank] {
        const auto transport = world.endpoint(Rank(static_cast<int>(rank)));
        Trace trace(*transport);
        std::vector<StepTime> times;
        for (std::size_t i = 0; i < programs[rank].steps.size(); ++i)
          times.push_back({StepId(static_cast<int>(i)), 1e-3 * static_cast<double>(i),
                           1e-3 * static_cast<double>(i) + 0.5e-3, last});
        trace.add_round(programs[rank], times, begins[rank]);
        trace.write("rank \"" + std::to_string(rank) + "\"", [&](std::string_view piece) { text += piece; });
      });
  }
  return json::parse(text);
}

TEST(Trace, HoldsEveryStepOfEveryRankOnOneClock) {
  const auto programs = schedule::build_all({.ranks = 2});
  const json trace = trace_of(programs, {5, 5.25});
  EXPECT_EQ(trace["otherData"]["ranks"], 2);
  std::map<int, std::vector<json>> events;
  std::map<int, std::map<int, std::string>> lanes;
  std::map<int, std::string> names;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "X") events[event["pid"]].push_back(event);
    if (event["name"] == "thread_name") lanes[event["pid"]][event["tid"]] = event["args"]["name"];
    if (event["name"] == "process_name") names[event["pid"]] = event["args"]["name"];
  }
  EXPECT_EQ(names.at(1), "rank \"1\"");
  for (std::size_t rank = 0; rank < 2; ++rank) {
    const auto& own = events[static_cast<int>(rank)];
    ASSERT_EQ(own.size(), programs[rank].steps.size());
    for (std::size_t i = 0; i < own.size(); ++i) {
      const auto& step = programs[rank].steps[i];
      EXPECT_EQ(own[i]["args"]["step"], name_of(step.kind));
      EXPECT_EQ(own[i]["args"]["token_step"], step.token_step.value);
      EXPECT_EQ(own[i]["args"]["layer"], step.layer.value);
      EXPECT_EQ(lanes[static_cast<int>(rank)][own[i]["tid"]], name_of(step.queue));
      // Both ranks share this process's clock, so their begins must keep their distance.
      const double wanted = 250e3 * static_cast<double>(rank) + 1e3 * static_cast<double>(i);
      EXPECT_NEAR(own[i]["ts"].get<double>(), wanted,
                  trace["otherData"]["clock_error_us"].get<double>() + 0.01);
      EXPECT_NEAR(own[i]["dur"].get<double>(), 500, 0.01);
    }
  }
}

TEST(Trace, AGraphBearsItsLayers) {
  const auto programs = schedule::build_all({.layers = 6});
  const auto last = std::ranges::find_if(programs[0].steps, [](const auto& step) {
    return step.kind == schedule::StepKind::feed_forward && step.layer == LayerId(4);
  });
  const json trace = trace_of(programs, {0}, StepId(static_cast<int>(last - programs[0].steps.begin())));
  int named = 0;
  for (const auto& event : trace["traceEvents"]) named += event["name"] == "layers 0-4";
  EXPECT_GT(named, 0);
}

TEST(Trace, WithoutRoundsIsAnEmptyTimeline) {
  const json trace = trace_of({Program{}}, {0});
  for (const auto& event : trace["traceEvents"]) EXPECT_EQ(event["ph"], "M");
}

// Steps of prefill in pieces say which part of their GPU batch they are of; others say nothing.
TEST(Trace, NamesThePartsOfPrefill) {
  const json trace = trace_of(schedule::build_all({.ranks = 2, .prefill_pieces = 3}), {0, 0});
  std::map<int, int> steps_of_part;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] != "X" || !event["args"].contains("part")) continue;
    EXPECT_EQ(event["args"]["token_step"], 0);
    if (event["args"]["step"] == "attend") ++steps_of_part[event["args"]["part"]];
  }
  EXPECT_EQ(steps_of_part, (std::map<int, int>{{0, 6}, {1, 6}, {2, 6}}));
}

}  // namespace
}  // namespace optpipe::metrics
