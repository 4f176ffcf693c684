// Matrix products through cuBLASLt: plans by shape, made once.
#pragma once

#include <cublasLt.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "optpipe/kernels/cuda.hpp"

namespace optpipe::kernels::cuda {

// out[m, n] = epilogue(x[m, k] · weight[n, k]ᵀ + bias[n]), or added to out.
struct Product {
  std::int64_t m = 0, n = 0, k = 0, x_stride = 0, out_stride = 0;
  const Half* x = nullptr;
  const Half* weight = nullptr;
  const Half* bias = nullptr;  // null: none
  bool relu = false;           // never together with `add`
  bool add = false;
  bool wide = false;    // out is fp32
  void* out = nullptr;  // Half or float
};

class Matmul {
 public:
  Matmul(void* workspace, Bytes workspace_bytes);
  ~Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  // Enqueues the product; false where the library has no algorithm for it (and nothing was enqueued).
  bool run(const Product& product, Stream stream);

 private:
  // What a choice of algorithm depends on; alignments in bytes.
  struct Key {
    std::int64_t m, n, k, x_stride, out_stride;
    std::uint32_t x_alignment, weight_alignment, out_alignment;
    bool bias, relu, add, wide;
    auto operator<=>(const Key&) const = default;
  };
  struct Plan;
  static Key key_of(const Product& product);
  Plan make_plan(const Product& product, const Key& key) const;

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_;
  Bytes workspace_bytes_;
  std::map<Key, Plan> plans_;
};

}  // namespace optpipe::kernels::cuda
