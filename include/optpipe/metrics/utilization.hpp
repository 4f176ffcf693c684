// What the times of steps say: how busy each queue was, what ran beside computation, and what binds.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "optpipe/comm/transport.hpp"
#include "optpipe/schedule/timeline.hpp"

namespace optpipe::metrics {

struct RankUse {
  std::string host;
  schedule::Utilization use;
  Bytes disk_read = 0, disk_written = 0;
};

// Collective: every rank's, on rank 0; elsewhere nothing.
std::vector<RankUse> gather_use(comm::Transport& transport, const RankUse& own);

const char* resource_of(schedule::Queue queue);  // "computation", "host to device copies", ...

// The queue that was busy for the largest share of the phase, as a resource: "computation", "host to device
// copies" ...; below 60 % of the phase nothing binds but "waiting". Empty for a phase that did not happen.
std::string binding_resource(const schedule::PhaseUse& use);

// Of the time in which queues other than compute were busy, the share during which compute was too; none
// where nothing was transferred.
std::optional<double> transfer_under_compute(const schedule::PhaseUse& use);

// [{"rank", "host", "phases": {"prefill": {"span_s", "busy_s": {queue: s}, "under_compute_s": {queue: s},
// "transfer_under_compute", "binds"}, "decode": the same or null}, "disk": {"read_bytes", "written_bytes",
// "read_bytes_s", "written_bytes_s": per second of the queue's work, or null}}]
nlohmann::json to_json(std::span<const RankUse> ranks);

// One line a rank and phase, with a heading.
std::vector<std::string> to_table(std::span<const RankUse> ranks);

}  // namespace optpipe::metrics
