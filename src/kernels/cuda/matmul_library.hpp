// What cuBLASLt offers for products, and its calls.
#pragma once

#include <cublasLt.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
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

  Bytes out_element() const { return wide ? sizeof(float) : sizeof(Half); }
  Bytes weight_bytes() const { return static_cast<Bytes>(n * k) * sizeof(Half); }
};

// What a choice of algorithm depends on.
struct MatmulShape {
  std::int64_t m, n, k, x_stride, out_stride;
  bool bias, relu, add, wide;
  auto operator<=>(const MatmulShape&) const = default;
};
MatmulShape shape_of(const Product& product);

// The largest number of rows for which algorithms are chosen as for `rows`: 1, 8, 16, two to an octave up to
// 128, and from there four. Few classes mean few kernels to load and choices to make.
std::int64_t row_class(std::int64_t rows);

class MatmulLibrary {
 public:
  using Algorithm = cublasLtMatmulAlgo_t;
  // Numbers of rows for which the library's first choice says how any number is to be added along K.
  static constexpr std::int64_t kMany = 2048;

  MatmulLibrary(void* workspace, Bytes workspace_bytes);
  ~MatmulLibrary();
  MatmulLibrary(const MatmulLibrary&) = delete;
  MatmulLibrary& operator=(const MatmulLibrary&) = delete;

  // A product's descriptors.
  struct Problem;
  struct ProblemDeleter {
    void operator()(Problem* problem) const;
  };
  using ProblemPointer = std::unique_ptr<Problem, ProblemDeleter>;
  ProblemPointer describe(const MatmulShape& shape) const;
  bool works(const Problem& problem, const Algorithm& algorithm) const;

  // The library's choice for kMany rows of a whole matrix; none: it has no algorithm.
  std::optional<Algorithm> reference(const MatmulShape& whole) const;
  // Up to `most` algorithms of the reference's kind for the shape (m: a class of rows): what the library
  // ranks first for this number of rows, `hints`, and what it ranks first for near numbers or behind.
  std::vector<Algorithm> like(const Algorithm& reference, const MatmulShape& shape, std::size_t most,
                              std::span<const Algorithm> hints = {}) const;

  void run(const Problem& problem, const Algorithm& algorithm, const Product& product, Stream stream) const;

  static std::string text_of(const Algorithm& algorithm);
  void* workspace() const { return workspace_; }

 private:
  // That do not split K, best first.
  const std::vector<Algorithm>& proposed(const MatmulShape& shape) const;
  std::vector<Algorithm> ask(const MatmulShape& shape) const;

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_;
  Bytes workspace_bytes_;
  mutable std::map<MatmulShape, std::vector<Algorithm>> proposed_;  // what was asked before
};

}  // namespace optpipe::kernels::cuda
