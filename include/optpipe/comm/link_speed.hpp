// How fast messages travel from each rank to the next.
#pragma once

#include <string>
#include <vector>

#include "optpipe/comm/transport.hpp"

namespace optpipe::comm {

struct LinkSpeed {
  Rank from, to;
  std::string from_host, to_host;
  double latency_s = 0;    // half of the shortest round trip of a small message
  double bytes_per_s = 0;  // of the largest message tried, less a round trip, but no more than half of it
};

// Collective. Messages that double from 64 KiB up to 16 MiB, for no longer than about `budget` a link, and
// one more message; links that share no rank are measured at the same time. All links on rank 0, elsewhere
// none.
std::vector<LinkSpeed> measure_links(Transport& transport, Seconds budget = Seconds(0.05));

}  // namespace optpipe::comm
