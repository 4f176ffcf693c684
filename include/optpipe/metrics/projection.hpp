// Decode time of a whole run from its first token steps.
//
// What was measured stands as measured; the rest comes from a line fitted to steady token steps:
//
//   seconds(t) = a + b · context(t),   context(t) = prompt_tokens + t,   t = 1 ... new_tokens - 1,   0 ≤ b
//
// A token step covers all micro-batches and GPU batches: from the moment in which rank 0 has the last of the
// step before to the moment in which it has the last of this one. So steps add up to the decode time, however
// many batches are in flight.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

namespace optpipe::metrics {

struct DecodeMeasurement {
  std::vector<double> step_s;      // token steps 1, 2, ... as far as they were run
  std::int64_t prompt_tokens = 0;  // of each prompt
  std::int64_t new_tokens = 0;     // of the whole run: new_tokens - 1 decode steps
  // Leading steps during which the pipeline still changes over from prefill; they are no sample of steady
  // state.
  std::int64_t fill_steps = 0;
  // Share of a step's time that grows in proportion to the context, where it is known: time of attention, or
  // of moving keys and values, on the queue that binds.
  std::optional<double> kv_share{};
};

enum class Confidence : std::uint8_t {
  measured,  // nothing had to be projected
  fit,       // three or more steady steps
  line,      // two: a line through both, and no measure of their noise
  low,       // one: b comes from kv_share alone, or is 0
};
const char* name_of(Confidence confidence);

struct Projection {
  double decode_s = 0;  // measured and projected together
  double low_s = 0,
         high_s =
             0;  // interval of decode_s: about 95 % for a fit; for fewer samples what 0 ≤ b and 0 ≤ a allow
  double base_s = 0;          // a
  double per_position_s = 0;  // b
  std::int64_t measured_steps = 0, projected_steps = 0;
  Confidence confidence = Confidence::measured;
};

// None where no decode step was measured, or where there is none to run. Never NaN.
//
// Steady steps: of five or more measured steps all but the first two, of four all but the first; of fewer all
// but fill_steps (at least one). a is the median of seconds - b · context, so that a slow step among three
// does no harm. b is the least-squares slope, drawn towards kv_share · seconds / context by how noisy the
// steps are; without kv_share it is the slope itself. Both are exact on costs that are a line.
std::optional<Projection> project_decode(const DecodeMeasurement& measurement);

// {"decode_s", "low_s", "high_s", "base_s", "per_position_s", "measured_steps", "projected_steps",
// "confidence"}
nlohmann::json to_json(const Projection& projection);

}  // namespace optpipe::metrics
