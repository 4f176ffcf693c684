// Sparse attention's choice of weights.
#pragma once

#include <cstdint>

namespace optpipe::kernels {

// Sets all of weights[0 .. count) but the `kept` largest to 0; of equal ones the first stay. A row with a NaN
// stays as it is: it is NaN throughout.
void keep_largest(float* weights, std::int64_t count, std::int64_t kept);

}  // namespace optpipe::kernels
