// How attention is cut into units of work. The cut decides about speed only: results do not depend on it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "optpipe/kernels/cpu.hpp"

namespace optpipe::kernels {

// Queries [row_begin, row_end) of heads [head_begin, head_end) of a task.
struct AttentionUnit {
  std::int64_t task, head_begin, head_end, row_begin, row_end;
};

class AttentionPlan {
 public:
  // Keeps its memory from one plan to the next.
  void make(std::span<const AttentionTask> tasks, std::int64_t head_bytes, int threads);

  std::int64_t units() const { return units_before_.back(); }
  AttentionUnit unit(std::int64_t index) const;

 private:
  struct Cut {
    std::int64_t rows = 0, heads = 0;  // of the task
    std::int64_t rows_per_unit = 1, heads_per_unit = 1;
    std::int64_t row_units() const { return (rows + rows_per_unit - 1) / rows_per_unit; }
    std::int64_t head_units() const { return (heads + heads_per_unit - 1) / heads_per_unit; }
    std::int64_t units() const { return row_units() * head_units(); }
  };
  static Cut cut(const AttentionTask& task, std::int64_t head_bytes, std::int64_t tasks,
                 std::int64_t threads);

  std::vector<Cut> cuts_;                   // of each task
  std::vector<std::int64_t> units_before_;  // of each task; last: all
};

}  // namespace optpipe::kernels
