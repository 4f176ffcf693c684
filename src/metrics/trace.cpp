#include "optpipe/metrics/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "optpipe/base/check.hpp"

namespace optpipe::metrics {
namespace {

using schedule::kQueues;
using schedule::Queue;

std::string json_text(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string metadata(int rank, int thread, const char* name, const std::string& value) {
  return fmt::format(R"({{"ph":"M","pid":{},"tid":{},"name":"{}","args":{}}})", rank, thread, name, value);
}

// A rank's name, and those of its lanes.
std::vector<std::string> describe_rank(int rank, const std::string& label) {
  std::vector<std::string> lines{
      metadata(rank, 0, "process_name", fmt::format(R"({{"name":{}}})", json_text(label))),
      metadata(rank, 0, "process_sort_index", fmt::format(R"({{"sort_index":{}}})", rank))};
  for (std::size_t q = 0; q < kQueues; ++q) {
    const int thread = static_cast<int>(q);
    lines.push_back(metadata(rank, thread, "thread_name",
                             fmt::format(R"({{"name":"{}"}})", name_of(static_cast<Queue>(q)))));
    lines.push_back(metadata(rank, thread, "thread_sort_index", fmt::format(R"({{"sort_index":{}}})", q)));
  }
  return lines;
}

std::vector<std::byte> to_bytes(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

}  // namespace

Trace::Trace(comm::Transport& transport) : transport_(transport), begin_(comm::measure_clock(transport)) {}

void Trace::add_round(const schedule::Program& program, std::span<const schedule::StepTime> times,
                      double round_begin_s) {
  for (const auto& time : times) {
    const auto& step = program.step(time.step);
    const auto last_layer = time.last.valid() ? program.step(time.last).layer : step.layer;
    events_.push_back({round_begin_s + time.begin_s, round_begin_s + time.end_s, time.waited_s,
                       step.token_step.value, step.micro_batch.value, step.layer.value, step.gpu_batch.value,
                       last_layer.value, step.parts > 1 ? step.part : -1, step.kind, step.queue});
  }
}

std::string Trace::to_text(const Event& e, int rank, double zero_s) {
  std::string name = name_of(e.kind);
  if (e.last_layer != e.layer)
    name = fmt::format("layers {}-{}", e.layer, e.last_layer);
  else if (e.layer >= 0)
    name += fmt::format(" {}", e.layer);
  return fmt::format(
      R"({{"ph":"X","pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f},"name":"{}","cat":"{}","args":{{"step":"{}","token_step":{},"micro_batch":{},"layer":{},"gpu_batch":{}{}{}}}}})",
      rank, static_cast<int>(e.queue), (e.begin_s - zero_s) * 1e6, std::max(0.0, e.end_s - e.begin_s) * 1e6,
      name, name_of(e.queue), name_of(e.kind), e.token_step, e.micro_batch, e.layer, e.gpu_batch,
      e.part >= 0 ? fmt::format(R"(,"part":{})", e.part) : "",
      e.waited_s > 0 ? fmt::format(R"(,"waited_us":{:.3f})", e.waited_s * 1e6) : "");
}

void Trace::write(const std::string& label, const std::function<void(std::string_view)>& sink) {
  static_assert(std::is_trivially_copyable_v<Event>);
  const auto end = comm::measure_clock(transport_);
  for (Event& event : events_) {
    event.begin_s = comm::to_first_rank(event.begin_s, begin_, end);
    event.end_s = comm::to_first_rank(event.end_s, begin_, end);
  }
  const auto bytes = std::as_bytes(std::span(events_));
  const auto labels = transport_.gather(to_bytes(label), Rank(0));
  const auto all = transport_.gather({bytes.begin(), bytes.end()}, Rank(0));
  const double error_s = std::max(begin_.error_s, end.error_s);
  const auto error_bytes = std::as_bytes(std::span(&error_s, 1));
  const auto errors = transport_.gather({error_bytes.begin(), error_bytes.end()}, Rank(0));
  if (!transport_.is_first()) return;

  std::vector<std::vector<Event>> ranks(all.size());
  double zero_s = std::numeric_limits<double>::infinity(), worst_s = 0;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    OPTPIPE_CHECK(all[rank].size() % sizeof(Event) == 0, "{} bytes of events of rank {}", all[rank].size(),
                  rank);
    ranks[rank].resize(all[rank].size() / sizeof(Event));
    if (!all[rank].empty()) std::memcpy(ranks[rank].data(), all[rank].data(), all[rank].size());
    for (const Event& event : ranks[rank]) zero_s = std::min(zero_s, event.begin_s);
    double rank_error_s = 0;
    std::memcpy(&rank_error_s, errors[rank].data(), sizeof rank_error_s);
    worst_s = std::max(worst_s, rank_error_s);
  }

  sink(
      fmt::format("{{\"displayTimeUnit\":\"ms\",\"otherData\":{{\"ranks\":{},\"clock_error_us\":{:.3f}}},"
                  "\"traceEvents\":[\n",
                  ranks.size(), worst_s * 1e6));
  std::string text;
  bool first = true;
  const auto add = [&](const std::string& line) {
    text += first ? "" : ",\n";
    text += line;
    first = false;
    if (text.size() < (std::size_t{1} << 20)) return;
    sink(text);
    text.clear();
  };
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const int id = static_cast<int>(rank);
    const std::string name(reinterpret_cast<const char*>(labels[rank].data()), labels[rank].size());
    for (const auto& line : describe_rank(id, name)) add(line);
    for (const Event& event : ranks[rank]) add(to_text(event, id, zero_s));
  }
  sink(text + "\n]}\n");
}

}  // namespace optpipe::metrics
