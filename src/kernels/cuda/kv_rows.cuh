// How a lane of a group reads eight values of a head's keys and values, native or quantized.
#pragma once

#include "kernels/cuda/coded.cuh"
#include "optpipe/kernels/cuda.hpp"

namespace optpipe::kernels::cuda {

// Halves. Wide: loads of 16 bytes.
template <bool kWide>
class NativeRows {
 public:
  using Packed = uint4;

  __device__ NativeRows(const KvTask& task, int head, int dim, int lane)
      : keys_(task.keys + head * dim + 8 * lane),
        values_(task.values + head * dim + 8 * lane),
        stride_(std::int64_t{task.heads} * dim),
        first_(8 * lane),
        count_(dim - 8 * lane) {}

  // Value v < 8 of a row is that of this column; -1: of none.
  __device__ int column(int v) const { return v < count_ ? first_ + v : -1; }
  __device__ Packed key(int position, bool exists) const { return load(keys_, position, exists); }
  __device__ Packed value(int position, bool exists) const { return load(values_, position, exists); }
  static __device__ Eight widen(const Packed& packed) { return unpack(packed); }

 private:
  __device__ Packed load(const Half* from, int position, bool exists) const {
    return load_eight<kWide>(from + position * stride_, exists ? count_ : 0);
  }

  const Half *keys_, *values_;  // of the head's columns at position 0
  std::int64_t stride_;
  int first_, count_;
};

// Codes. Wide: loads of 4 bytes.
template <StorageFormat format, bool kWide>
class CodedRows {
 public:
  struct Packed {
    uint2 codes;
    std::uint32_t pair;
  };

  __device__ CodedRows(const KvTask& task, int head, int dim, int lane) : unit_(lane, dim) {
    const RowFormat row{format, DType::f16, dim};
    stride_ = static_cast<std::int64_t>(row.row_bytes(task.heads));
    const auto codes = static_cast<std::int64_t>(head) * static_cast<std::int64_t>(row.run_code_bytes());
    keys_ = reinterpret_cast<const std::byte*>(task.keys) + codes;
    values_ = reinterpret_cast<const std::byte*>(task.values) + codes;
    pair_ = static_cast<std::int64_t>(row.pairs_offset(task.heads)) - codes +
            (head * row.groups() + unit_.group) * static_cast<std::int64_t>(kGroupPairBytes);
  }

  __device__ int column(int v) const { return unit_.column(v); }
  __device__ Packed key(int position, bool exists) const { return load(keys_, position, exists); }
  __device__ Packed value(int position, bool exists) const { return load(values_, position, exists); }
  static __device__ Eight widen(const Packed& packed) {
    return CodeUnit<format>::widen(packed.codes, range_of(packed.pair));
  }

 private:
  __device__ Packed load(const std::byte* from, int position, bool exists) const {
    if (!exists || !unit_.exists()) return {};
    const std::byte* row = from + position * stride_;
    return {unit_.template load<kWide>(row), load_pair<kWide>(row + pair_)};
  }

  CodeUnit<format> unit_;
  const std::byte *keys_, *values_;  // codes of the head at position 0
  std::int64_t stride_, pair_;       // the group's pair, from the head's codes
};

}  // namespace optpipe::kernels::cuda
