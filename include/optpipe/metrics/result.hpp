// The figures of a run, by FlexGen's formulas over true token counts.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "optpipe/base/units.hpp"
#include "optpipe/metrics/memory_use.hpp"

namespace optpipe::metrics {

struct Result {
  std::int64_t prompts = 0;
  std::int64_t prompt_tokens = 0;  // of all prompts
  std::int64_t new_tokens = 0;     // of all prompts
  double prefill_s = 0;            // until every prompt in flight has its first new token, summed over rounds
  std::optional<double> decode_s;  // the rest; none where no decode step was measured
  bool projected = false;

  std::int64_t decoded_tokens() const { return new_tokens - prompts; }
  // None where there are tokens to decode whose time is not known.
  std::optional<double> total_s() const;

  // Prompt tokens over prefill time, new tokens after the first of each prompt over decode time, all new
  // tokens over total time.
  std::optional<double> prefill_token_s() const;
  std::optional<double> decode_token_s() const;
  std::optional<double> total_token_s() const;
};

// {"prompts", "prompt_tokens", "new_tokens", "prefill_s", "decode_s", "total_s", "prefill_token_s",
// "decode_token_s", "total_token_s", "projected"}; what was not measured is null.
nlohmann::json to_json(const Result& result);

// What FlexGen's report says of memory.
struct WorkloadSizes {
  Bytes model = 0, cache = 0, hidden = 0;
  PeakMemory peak{};  // measured, and planned beside it
};

// The report as FlexGen prints and logs it, five lines (GB: 2^30 bytes); behind its own two columns the
// second also has planned memory, and the host's. What was not measured is named so.
std::string result_lines(const WorkloadSizes& sizes, const Result& result);

}  // namespace optpipe::metrics
