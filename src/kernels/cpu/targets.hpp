// Vector targets the kernels are compiled for; include before any Highway header. Left out are vectors whose
// length the compiler does not know (register tiles are arrays of vectors) and targets that would add
// nothing.
#pragma once

// The fallback has to know all operations: emulated vectors, not scalars. Highway avoids them with g++
// before 12.3 because of GCC's bug 106322, which miscompiles 16-bit multiplications; no kernel has one.
#define HWY_BROKEN_EMU128 0

#include <hwy/detect_targets.h>

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
