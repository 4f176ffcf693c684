// Where a rank's seconds went: every instant of a run counted once.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>

#include "optpipe/schedule/timeline.hpp"

namespace optpipe::metrics {

// What an instant counts as. Of queues that are busy at the same time the first of this list wins, so copies
// and messages count only while nothing is computed: what they cost, not what they did.
enum class Activity : std::uint8_t {
  compute,
  host,   // CPU cores beside the device
  load,   // host to device
  store,  // device to host
  disk_read,
  disk_write,
  send,     // to another rank, while it takes the message
  recv,     // from another rank, while it arrives
  waiting,  // nothing at all: for another rank, or between steps
  fill,     // before the first message reaches this stage
  drain,    // after the stage's last work, until rank 0 has the last token
};
inline constexpr std::size_t kActivities = static_cast<std::size_t>(Activity::drain) + 1;
const char* name_of(Activity activity);

// Seconds of each activity; they add up to the phase's length.
struct PhaseSplit {
  std::array<double, kActivities> seconds{};

  double& operator[](Activity a) { return seconds[static_cast<std::size_t>(a)]; }
  double operator[](Activity a) const { return seconds[static_cast<std::size_t>(a)]; }
  double total() const;
};

struct RunSplit {
  PhaseSplit prefill, decode;
};

// Of one rank's round, up to the last of its steps. Prefill ends with the rank's last step of token step 0.
RunSplit split_run(const schedule::Program& program, std::span<const schedule::StepTime> times);

// Of the decode time of the busiest queue, the share that grows in proportion to the context: attention, or
// moving keys and values. None where steps ran as one, so that nobody knows.
std::optional<double> kv_share(const schedule::Program& program, std::span<const schedule::StepTime> times);

// {activity: seconds, "total": their sum}
nlohmann::json to_json(const PhaseSplit& split);

}  // namespace optpipe::metrics
