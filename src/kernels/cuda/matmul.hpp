// Matrix products through cuBLASLt: plans by shape, made once.
//
// What a row of x gives must not depend on the rows beside it, though the fastest tiles depend on how many
// there are. Of the library's algorithms only those are taken that add along K as its choice for many rows
// does: the same algorithm in other tiles, K never split. On Hopper's tensor cores they give the same bits
// (measured for the shapes of real models, and a test). While products are timed, results are compared too,
// and what differs is not taken.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/cuda/matmul_library.hpp"
#include "optpipe/kernels/cuda.hpp"

namespace optpipe::kernels::cuda {

class ProductTimer;

// Whether all rows of the operands begin, and those of the weight and results end, at multiples of 16 bytes.
// Kernels for other products share sums among warps in ways that differ from shape to shape.
bool is_aligned(const Product& product);

class Matmul {
 public:
  Matmul(void* workspace, Bytes workspace_bytes);
  ~Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  // Enqueues the product; false where the library has no algorithm for it (and nothing was enqueued), or
  // none that gives rows their bits whatever stands beside them: where it is not aligned.
  bool run(const Product& product, Stream stream);

  // As ProductTiming (optpipe/kernels/cuda.hpp) says.
  void start_timing(std::span<const std::byte> cold);
  void stop_timing();

 private:
  using Choice = std::optional<MatmulLibrary::Algorithm>;  // none: the library has no algorithm
  struct Plan {
    MatmulLibrary::ProblemPointer problem;
    Choice algorithm;
    std::int64_t rows = 0;  // of x that go in one call
  };
  using Key = std::pair<MatmulShape, std::int64_t>;  // and rows of the whole matrix
  Plan make_plan(const Product& product, Stream stream);
  const Choice& choose(const Product& product, Stream stream);
  const Choice& reference(const Product& product);
  Choice time(const Product& product, const MatmulLibrary::Algorithm& reference, const MatmulShape& shape,
              Stream stream);
  bool run_parts(const Product& product, std::int64_t rows, Stream stream);

  MatmulLibrary library_;
  std::unique_ptr<ProductTimer> timer_;  // while products are timed
  std::map<MatmulShape, Choice> references_;
  std::map<Key, Choice> choices_;  // by class of rows
  std::map<Key, std::vector<MatmulLibrary::Algorithm>> hints_;
  std::map<Key, Plan> plans_;
};

}  // namespace optpipe::kernels::cuda
