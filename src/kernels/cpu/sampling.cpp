#include "optpipe/kernels/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/cpu/philox.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/kernels/cpu.hpp"

namespace optpipe::kernels {
namespace {

struct Candidate {
  float logit = 0;
  Token token = 0;
  double weight = 0;  // its probability times a common factor
};

// Likeliest first; a total order, so that results do not depend on the sorting algorithm.
bool likelier(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// The k-th largest logit. Leaves the order of `logits` undefined.
float threshold_of(std::vector<float>& logits, std::int64_t k) {
  const auto kth = logits.begin() + (k - 1);
  std::nth_element(logits.begin(), kth, logits.end(), std::greater<>());
  return *kth;
}

// Tokens whose logits are numbers, in order, with logits divided by the temperature.
void collect(std::span<const float> logits, float temperature, std::vector<Candidate>& candidates) {
  candidates.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float logit = logits[i] / temperature;
    if (!std::isnan(logit)) candidates.push_back({logit, static_cast<Token>(i), 0});
  }
}

void keep_top_k(std::vector<Candidate>& candidates, std::int64_t k) {
  if (k == 0 || k >= static_cast<std::int64_t>(candidates.size())) return;
  thread_local std::vector<float> logits;
  logits.clear();
  for (const Candidate& candidate : candidates) logits.push_back(candidate.logit);
  const float threshold = threshold_of(logits, k);
  std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.logit < threshold; });
}

double weigh(std::vector<Candidate>& candidates, float most) {
  double total = 0;
  for (Candidate& candidate : candidates) {
    candidate.weight = std::exp(static_cast<double>(candidate.logit) - most);
    total += candidate.weight;
  }
  return total;
}

// Keeps the shortest prefix, in order of likelihood, that holds `top_p` of the total; returns what it holds.
// Sorts only as many candidates as turn out to be needed.
double keep_top_p(std::vector<Candidate>& candidates, double top_p, double total) {
  if (top_p >= 1) return total;
  double held = 0;
  std::size_t kept = 0, sorted = 0;
  while (kept < candidates.size()) {
    if (kept == sorted) {
      sorted = std::min(candidates.size(), std::max<std::size_t>(256, 4 * sorted));
      const auto begin = candidates.begin() + static_cast<std::ptrdiff_t>(kept);
      const auto end = candidates.begin() + static_cast<std::ptrdiff_t>(sorted);
      if (end != candidates.end()) std::nth_element(begin, end, candidates.end(), likelier);
      std::sort(begin, end, likelier);
    }
    held += candidates[kept++].weight;
    if (held >= top_p * total) break;
  }
  candidates.resize(kept);
  return held;
}

Token draw(const std::vector<Candidate>& candidates, double point) {
  const Candidate* last = &candidates.front();
  for (const Candidate& candidate : candidates) {
    if (candidate.weight <= 0) continue;
    if (point < candidate.weight) return candidate.token;
    point -= candidate.weight;
    last = &candidate;
  }
  return last->token;  // rounding left the point at the very end
}

}  // namespace

Token sample_token(std::span<const float> logits, const SamplingOptions& options, std::uint64_t sequence,
                   std::uint64_t step) {
  OPTPIPE_CHECK(!logits.empty(), "no logits to choose from");
  const auto best = static_cast<Token>(argmax(logits.data(), static_cast<std::int64_t>(logits.size())));
  const float most = logits[static_cast<std::size_t>(best)] / options.temperature;
  if (!options.sample || !std::isfinite(most)) return best;
  thread_local std::vector<Candidate> candidates;
  collect(logits, options.temperature, candidates);
  keep_top_k(candidates, options.top_k);
  const double total = keep_top_p(candidates, options.top_p, weigh(candidates, most));
  return draw(candidates, uniform(options.seed, sequence, step) * total);
}

}  // namespace optpipe::kernels
