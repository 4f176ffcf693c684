#include <algorithm>

#include "kernels/cpu/parallel.hpp"
#include "optpipe/kernels/cpu.hpp"

namespace optpipe::kernels {

void for_parts_of_rows(std::int64_t rows, int threads, const RowPart& body) {
  constexpr std::int64_t kPart = 16;  // rows of some kilobytes: far more work than handing them out
  parallel_for((rows + kPart - 1) / kPart, threads,
               [&](std::int64_t i) { body(i * kPart, std::min(kPart, rows - i * kPart)); });
}

}  // namespace optpipe::kernels
