// How a linear operation is cut into units of work. The cut decides about speed only: results do not depend
// on it.
#pragma once

#include <cstdint>

#include "optpipe/kernels/cpu.hpp"

namespace optpipe::kernels {

// Products are summed over blocks of this many columns, block by block in order: 4 + 6 rows of a block in
// fp32 fit the first-level cache. Part of what defines a result's bits.
inline constexpr std::int64_t kColumnBlock = 1024;

struct LinearArguments {
  const float* x = nullptr;  // [m, k]
  std::int64_t x_stride = 0, m = 0;
  const MatrixView* weight = nullptr;  // [n, k]
  VectorView bias;
  Epilogue epilogue = Epilogue::none;
  float* out = nullptr;  // [m, n]
  std::int64_t out_stride = 0;
};

// Rows [m_begin, m_end) and columns [n_begin, n_end) of the result.
struct LinearUnit {
  std::int64_t m_begin, m_end, n_begin, n_end;
};

struct LinearPlan {
  bool widen =
      false;  // weights go through fp32 scratch, used by many rows of x; else straight into registers
  std::int64_t m = 0, n = 0;
  std::int64_t m_chunk = 0, n_chunk = 0;

  std::int64_t m_chunks() const { return (m + m_chunk - 1) / m_chunk; }
  std::int64_t n_chunks() const { return (n + n_chunk - 1) / n_chunk; }
  std::int64_t units() const { return m_chunks() * n_chunks(); }
  LinearUnit unit(std::int64_t index) const;  // all of an m chunk's units in a row: its x stays near
};
LinearPlan plan_linear(std::int64_t m, std::int64_t n, std::int64_t row_bytes, int threads);

}  // namespace optpipe::kernels
