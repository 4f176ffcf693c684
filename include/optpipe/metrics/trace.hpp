// A timeline of all ranks in Chrome's trace format, for chrome://tracing or Perfetto.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "optpipe/comm/clock.hpp"
#include "optpipe/comm/transport.hpp"
#include "optpipe/schedule/timeline.hpp"

namespace optpipe::metrics {

// One rank's part. A process of the trace is a rank, a thread is a queue, a complete event ("X") is a step;
// times are microseconds on rank 0's clock since the earliest event.
class Trace {
 public:
  // Collective: the ranks' clocks are compared here, and again by write().
  explicit Trace(comm::Transport& transport);

  // Steps of a round; `round_begin_s`: by comm::steady_seconds().
  void add_round(const schedule::Program& program, std::span<const schedule::StepTime> times,
                 double round_begin_s);

  // Collective; on rank 0 the file's text goes to `sink`, piece by piece. `label`: this rank's name in the
  // trace.
  void write(const std::string& label, const std::function<void(std::string_view)>& sink);

 private:
  struct Event {
    double begin_s, end_s, waited_s;
    std::int32_t token_step, micro_batch, layer, gpu_batch, last_layer;
    std::int32_t part;  // of a GPU batch in prefill; -1: the whole
    schedule::StepKind kind;
    schedule::Queue queue;
  };
  static std::string to_text(const Event& event, int rank, double zero_s);

  comm::Transport& transport_;
  comm::ClockOffset begin_;
  std::vector<Event> events_;
};

}  // namespace optpipe::metrics
