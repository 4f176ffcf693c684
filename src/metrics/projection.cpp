#include "optpipe/metrics/projection.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>

namespace optpipe::metrics {
namespace {

// Steps of a run on a quiet machine differ by about so much; a fit to few of them may look better by chance.
constexpr double kLeastNoise = 0.005;
// How far the true slope may be from what kv_share says, as a share of it: one standard deviation.
constexpr double kShareError = 0.5;
constexpr double kInterval = 2;           // standard deviations
constexpr double kMedianVariance = 1.57;  // of a median over that of a mean, for normal noise: π/2

struct Sample {
  double context = 0, seconds = 0;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

std::size_t steps_to_skip(std::size_t measured, std::int64_t fill) {
  const auto filling = static_cast<std::size_t>(std::max<std::int64_t>(fill, 0));
  if (measured >= 5) return std::min(std::max<std::size_t>(2, filling), measured - 3);
  if (measured == 4) return 1;
  return measured == 2 ? std::min<std::size_t>(filling, 1) : 0;
}

double context_of(const DecodeMeasurement& m, std::size_t index) {
  return static_cast<double>(m.prompt_tokens) + static_cast<double>(index + 1);
}

std::vector<Sample> steady_steps(const DecodeMeasurement& m) {
  std::vector<Sample> samples;
  for (std::size_t i = steps_to_skip(m.step_s.size(), m.fill_steps); i < m.step_s.size(); ++i)
    samples.push_back({context_of(m, i), m.step_s[i]});
  return samples;
}

struct Line {
  double base = 0, slope = 0;
  double noise = 0;  // standard deviation of a step
  double slope_variance = 0;
};

double base_of(std::span<const Sample> samples, double slope) {
  std::vector<double> rests;
  for (const Sample& each : samples) rests.push_back(each.seconds - slope * each.context);
  return median(std::move(rests));
}

// The steepest line on which no step without context would take negative time.
double steepest(std::span<const Sample> samples) {
  double slope = std::max(0.0, samples[0].seconds / samples[0].context);
  for (const Sample& each : samples) slope = std::min(slope, std::max(0.0, each.seconds / each.context));
  return slope;
}

Line fit(std::span<const Sample> samples, std::optional<double> kv_share) {
  const auto n = static_cast<double>(samples.size());
  double x = 0, y = 0, xx = 0, xy = 0;
  for (const Sample& each : samples) {
    x += each.context / n;
    y += each.seconds / n;
  }
  for (const Sample& each : samples) {
    xx += (each.context - x) * (each.context - x);
    xy += (each.context - x) * (each.seconds - y);
  }
  const std::optional<double> expected =
      kv_share ? std::optional(std::clamp(*kv_share, 0.0, 1.0) * y / x) : std::nullopt;
  Line line;
  if (samples.size() == 1) {
    line.slope = expected.value_or(0);
  } else {
    const double slope = xy / xx;
    double squares = 0;
    for (const Sample& each : samples) {
      const double error = each.seconds - y - slope * (each.context - x);
      squares += error * error;
    }
    if (samples.size() > 2) line.noise = std::sqrt(squares / (n - 2));
    line.slope = slope;
    if (samples.size() > 2 && expected && y > 0) {
      line.noise = std::max(line.noise, kLeastNoise * y);
      const double of_steps = xx / (line.noise * line.noise);
      const double deviation = kShareError * std::max(*expected, 1e-9 * y / x);
      const double of_share = 1 / (deviation * deviation);
      line.slope = (of_steps * slope + of_share * *expected) / (of_steps + of_share);
      line.slope_variance = 1 / (of_steps + of_share);
    } else {
      line.slope_variance = line.noise * line.noise / xx;
    }
  }
  line.slope = std::clamp(line.slope, 0.0, steepest(samples));
  line.base = base_of(samples, line.slope);
  return line;
}

}  // namespace

const char* name_of(Confidence confidence) {
  switch (confidence) {
    case Confidence::measured:
      return "measured";
    case Confidence::fit:
      return "fit";
    case Confidence::line:
      return "line";
    case Confidence::low:
      return "low";
  }
  return "";
}

std::optional<Projection> project_decode(const DecodeMeasurement& m) {
  if (m.step_s.empty() || m.new_tokens < 2) return std::nullopt;
  const auto all = static_cast<std::size_t>(m.new_tokens - 1);
  const std::size_t measured = std::min(m.step_s.size(), all);
  Projection result;
  result.measured_steps = static_cast<std::int64_t>(measured);
  result.projected_steps = static_cast<std::int64_t>(all - measured);
  const double so_far =
      std::accumulate(m.step_s.begin(), m.step_s.begin() + static_cast<std::ptrdiff_t>(measured), 0.0);
  const auto samples = steady_steps(m);
  const Line line = fit(samples, m.kv_share);
  result.base_s = line.base;
  result.per_position_s = line.slope;
  result.decode_s = result.low_s = result.high_s = so_far;
  if (measured == all) return result;

  const auto left = static_cast<double>(all - measured);
  const double context = (context_of(m, measured) + context_of(m, all - 1)) / 2;
  const auto rest = [&](double slope) {
    return left * std::max(0.0, base_of(samples, slope) + slope * context);
  };
  result.decode_s += rest(line.slope);
  if (samples.size() > 2) {
    result.confidence = Confidence::fit;
    double x = 0;
    for (const Sample& each : samples) x += each.context / static_cast<double>(samples.size());
    const double level_variance =
        kMedianVariance * line.noise * line.noise / static_cast<double>(samples.size());
    const double deviation =
        std::sqrt(left * left * (level_variance + (context - x) * (context - x) * line.slope_variance) +
                  left * line.noise * line.noise);
    result.low_s = std::max(so_far, result.decode_s - kInterval * deviation);
    result.high_s = result.decode_s + kInterval * deviation;
  } else {
    result.confidence = samples.size() == 2 ? Confidence::line : Confidence::low;
    result.low_s = so_far + rest(0);
    result.high_s = so_far + rest(steepest(samples));
  }
  return result;
}

nlohmann::json to_json(const Projection& p) {
  return {{"decode_s", p.decode_s},
          {"low_s", p.low_s},
          {"high_s", p.high_s},
          {"base_s", p.base_s},
          {"per_position_s", p.per_position_s},
          {"measured_steps", p.measured_steps},
          {"projected_steps", p.projected_steps},
          {"confidence", name_of(p.confidence)}};
}

}  // namespace optpipe::metrics
