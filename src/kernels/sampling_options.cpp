#include <fmt/format.h>

#include <cmath>

#include "optpipe/base/error.hpp"
#include "optpipe/kernels/sampling.hpp"

namespace optpipe::kernels {

void check(const SamplingOptions& options) {
  if (!(options.temperature > 0) || std::isinf(options.temperature))
    throw UsageError(
        fmt::format("temperature is {}: logits are divided by it; choose a positive number, or no sampling "
                    "for the likeliest token",
                    options.temperature));
  if (options.top_k < 0)
    throw UsageError(
        fmt::format("top-k is {}: it counts tokens; choose a positive number, or 0 for all", options.top_k));
  if (!(options.top_p > 0 && options.top_p <= 1))
    throw UsageError(
        fmt::format("top-p is {}: it is a probability; choose a number above 0 and up to 1", options.top_p));
}

}  // namespace optpipe::kernels
