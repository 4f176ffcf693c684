// Matrix products through cuBLASLt: plans by shape, made once.
//
// What a row of x gives must not depend on the rows beside it, though the fastest tiles depend on how many
// there are. Of the library's algorithms only those are taken that add along K as its choice for many rows
// does: the same algorithm in other tiles, K never split. On Hopper's tensor cores they give the same bits
// (measured for the shapes of real models, and a test).
#pragma once

#include <cublasLt.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "optpipe/kernels/cuda.hpp"

namespace optpipe::kernels::cuda {

// out[m, n] = epilogue(x[m, k] · weight[n, k]ᵀ + bias[n]), or added to out.
struct Product {
  std::int64_t m = 0, n = 0, k = 0, x_stride = 0, out_stride = 0;
  std::int64_t whole_n = 0;  // rows of the matrix that the weight is a part of
  const Half* x = nullptr;
  const Half* weight = nullptr;
  const Half* bias = nullptr;  // null: none
  bool relu = false;           // never together with `add`
  bool add = false;
  bool wide = false;    // out is fp32
  void* out = nullptr;  // Half or float
};

// The largest number of rows for which algorithms are chosen as for `rows`: 1, 8, 16, and from there two to
// an octave. Few classes mean few kernels to load and choices to make.
std::int64_t row_class(std::int64_t rows);

constexpr std::uint32_t kWidestLoad = 16;  // bytes

class Matmul {
 public:
  Matmul(void* workspace, Bytes workspace_bytes);
  ~Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  // Enqueues the product; false where the library has no algorithm for it (and nothing was enqueued).
  bool run(const Product& product, Stream stream);

 private:
  // What a choice of algorithm depends on; alignments in bytes, up to those that any algorithm asks for.
  struct Key {
    std::int64_t m, n, k, x_stride, out_stride;
    std::uint32_t x_alignment, weight_alignment, out_alignment;
    bool bias, relu, add, wide;
    auto operator<=>(const Key&) const = default;
    bool is_aligned() const;  // every row begins where the widest loads may
  };
  struct Problem;  // a product's descriptors
  struct Plan;
  using Choice = std::optional<cublasLtMatmulAlgo_t>;  // none: the library has no algorithm
  static Key key_of(const Product& product);
  Problem describe(const Key& key) const;
  const Choice& choose(const Key& key);
  Choice find(const Key& key);
  std::vector<cublasLtMatmulAlgo_t> candidates(const Key& key) const;  // that do not split K, best first
  bool works(const Problem& problem, const cublasLtMatmulAlgo_t& algorithm) const;
  Plan make_plan(const Key& key, std::int64_t whole_n);
  bool run_parts(const Product& product, std::int64_t rows, Stream stream);

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_;
  Bytes workspace_bytes_;
  std::map<Key, Choice> choices_;  // by class of rows and whole matrix
  std::map<std::pair<Key, std::int64_t>, Plan> plans_;
};

}  // namespace optpipe::kernels::cuda
