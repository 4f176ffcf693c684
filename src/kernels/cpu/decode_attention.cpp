#include "optpipe/kernels/decode_attention.hpp"

#include <cstring>
#include <vector>

#include "kernels/cpu/attention_units.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"

namespace optpipe::kernels {
namespace {

// Some heads of one task. Its widened rows lie one after another: q, k, v and out.
struct Heads {
  const DecodeTask& task;
  const AttentionTask& wide;
  const AttentionUnit& unit;
  std::int64_t dim;

  std::int64_t first() const { return unit.head_begin * dim; }
  std::int64_t count() const { return (unit.head_end - unit.head_begin) * dim; }
  float* widened(int row) const { return const_cast<float*>(wide.q) + row * task.heads * dim + first(); }

  void append(DType rows, const RowFormat& cache) const {
    const auto at = static_cast<std::size_t>(first()) * size_of(rows);
    to_float(task.q + at, rows, widened(0), count());
    to_float(task.k + at, rows, widened(1), count());
    to_float(task.v + at, rows, widened(2), count());
    const Bytes last = static_cast<Bytes>(task.context - 1) * cache.row_bytes(task.heads);
    put(cache, widened(1), task.keys + last);
    put(cache, widened(2), task.values + last);
  }
  void give(DType rows) const {
    from_float(widened(3), task.out + static_cast<std::size_t>(first()) * size_of(rows), rows, count());
  }

 private:
  // The heads' part of a row of all heads: of quantized ones, codes and pairs lie apart.
  void put(const RowFormat& cache, const float* from, std::byte* row) const {
    const std::int64_t heads = unit.head_end - unit.head_begin;
    if (!is_quantized(cache.format))
      return narrow_row(cache, heads, from, row + static_cast<Bytes>(unit.head_begin) * cache.row_bytes());
    thread_local std::vector<std::byte> part;  // grows only
    if (part.size() < cache.row_bytes(heads)) part.resize(cache.row_bytes(heads));
    narrow_row(cache, heads, from, part.data());
    const Bytes codes = cache.run_code_bytes(), pairs = static_cast<Bytes>(cache.groups()) * kGroupPairBytes;
    const auto begin = static_cast<Bytes>(unit.head_begin), number = static_cast<Bytes>(heads);
    std::memcpy(row + begin * codes, part.data(), number * codes);
    std::memcpy(row + cache.pairs_offset(task.heads) + begin * pairs, part.data() + number * codes,
                number * pairs);
  }
};

}  // namespace

void decode_attention(std::span<const DecodeTask> tasks, DType rows, const RowFormat& cache, int threads) {
  const std::int64_t dim = cache.run;
  thread_local std::vector<float> memory;  // grows only
  thread_local std::vector<AttentionTask> attend;
  std::int64_t floats = 0;
  for (const DecodeTask& task : tasks) {
    OPTPIPE_CHECK(task.context > 0 && task.heads >= 0, "context {}, {} heads", task.context, task.heads);
    floats += 4 * task.heads * dim;
  }
  if (memory.size() < static_cast<std::size_t>(floats)) memory.resize(static_cast<std::size_t>(floats));
  attend.clear();
  float* at = memory.data();
  for (const DecodeTask& task : tasks) {
    const std::int64_t width = task.heads * dim;
    attend.push_back({.q = at,
                      .k = task.keys,
                      .v = task.values,
                      .out = at + 3 * width,
                      .rows = 1,
                      .context = task.context,
                      .heads = task.heads,
                      .q_stride = width,
                      .kv_stride = width,
                      .kept = task.kept});
    at += 4 * width;
  }
  const auto heads_of = [&own = attend, tasks, dim](const AttentionUnit& unit) {
    return Heads{tasks[static_cast<std::size_t>(unit.task)], own[static_cast<std::size_t>(unit.task)], unit,
                 dim};
  };
  attention_units(
      attend, cache, threads, [&](const AttentionUnit& unit) { heads_of(unit).append(rows, cache); },
      [&](const AttentionUnit& unit) { heads_of(unit).give(rows); });
}

}  // namespace optpipe::kernels
