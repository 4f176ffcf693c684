// How far two runs' logits are apart.
#pragma once

#include <algorithm>
#include <cmath>

#include "support/golden.hpp"
#include "support/pipeline.hpp"

namespace optpipe::test {

// Relative errors of logits of all token steps up to the first in which the tokens differ.
struct Errors {
  double sum = 0, largest = 0;
  int count = 0;
  double mean() const { return count > 0 ? sum / count : 0; }
};
inline Errors errors_between(const Output& output, const Output& reference) {
  Errors errors;
  for (std::size_t i = 0; i < reference.tokens.size(); ++i) {
    for (std::size_t t = 0; t < reference.tokens[i].size(); ++t) {
      const std::pair key(static_cast<std::int64_t>(i), static_cast<std::int64_t>(t));
      const double error = relative_error(output.logits.at(key), reference.logits.at(key));
      errors.sum += error;
      errors.largest = std::max(errors.largest, std::isnan(error) ? INFINITY : error);
      ++errors.count;
      if (output.tokens[i][t] != reference.tokens[i][t]) break;  // what follows has another history
    }
  }
  return errors;
}

inline constexpr double kNoise = 8e-3;  // of fp16: golden_gpu_test.cpp allows 5e-3 in a first token's logits

}  // namespace optpipe::test
