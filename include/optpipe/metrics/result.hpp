// The figures of a run, by FlexGen's formulas over true token counts.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

namespace optpipe::metrics {

struct Result {
  std::int64_t prompts = 0;
  std::int64_t prompt_tokens = 0;  // of all prompts
  std::int64_t new_tokens = 0;     // of all prompts
  double prefill_s = 0;            // until every prompt in flight has its first new token, summed over rounds
  double decode_s = 0;             // the rest
  bool projected = false;

  double total_s() const { return prefill_s + decode_s; }
};

// {"prefill_s", "decode_s", "total_s", "prefill_token_s", "decode_token_s", "total_token_s", "projected"}:
// prompt tokens over prefill time, new tokens after the first of each prompt over decode time, all new tokens
// over total time. What was not measured (no decode step) is null.
nlohmann::json to_json(const Result& result);

}  // namespace optpipe::metrics
