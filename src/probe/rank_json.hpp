// One rank's measurements as JSON: in the report, and on their way to rank 0.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "optpipe/probe/probe.hpp"

namespace optpipe::probe {

nlohmann::json to_json(const RankRates& rates);
RankRates rank_from_json(const nlohmann::json& json);

}  // namespace optpipe::probe
