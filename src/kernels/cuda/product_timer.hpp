// Which of the library's algorithms is the fastest for a product, measured at set-up.
//
// The library's ranking is a guess, and of its proposals most do not add as the reference does: what remains
// may be ranked badly, and what is fast for few rows of one shape wastes most of the GPU on another. Timing
// noise may choose another algorithm, never other bits.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/matmul_library.hpp"

namespace optpipe::kernels::cuda {

class ProductTimer {
 public:
  // Weights are read from `cold` by turns where it is large enough, so that they come from memory.
  explicit ProductTimer(std::span<const std::byte> cold);

  // Smaller weights take no longer than a few launches do, whatever the algorithm; and for so many rows the
  // library ranks its own choice first, while times depend on how hot the GPU is.
  static bool is_worth_it(const Product& product) {
    return product.weight_bytes() >= Bytes{8} << 20 && product.m < MatmulLibrary::kMany;
  }

  // Candidates that are timed: the more rows, the longer a product takes and the better the library ranks.
  static std::size_t most(const Product& product) {
    return product.m <= 128 ? kMost : product.m < 768 ? 8 : 5;
  }

  struct Timed {
    MatmulLibrary::Algorithm algorithm;
    bool same;            // the bits of all results are the reference's
    double microseconds;  // the least of one to three times; 0 where bits differ
  };
  // Of the first kMost candidates, fastest first; none where the reference does not work for the shape.
  // Overwrites the product's results and waits for them.
  std::vector<Timed> time(const MatmulLibrary& library, const Product& product,
                          const MatmulLibrary::Algorithm& reference,
                          std::span<const MatmulLibrary::Algorithm> candidates, cudaStream_t stream);

 private:
  static constexpr std::size_t kMost = 14;
  struct Run;  // of one product

  struct EventDeleter {
    void operator()(cudaEvent_t event) const;
  };
  using Event = std::unique_ptr<CUevent_st, EventDeleter>;
  static Event make_event();
  struct Interval {
    Event begin = make_event(), end = make_event();
  };

  // The product with a weight that the GPU has not read lately.
  Product with_cold_weight(const Product& product);
  void compare(const Run& run, std::vector<Timed>& candidates);
  // All that lie within `close` times the fastest: back to back, so that the host stays ahead of the GPU and
  // may be interrupted.
  void time_once(const Run& run, std::vector<Timed>& candidates, double close);

  std::span<const std::byte> cold_;
  Bytes next_ = 0;  // of cold_
  DeviceBuffer sums_{(kMost + 1) * sizeof(unsigned long long)};
  std::vector<Interval> intervals_{kMost};
};

}  // namespace optpipe::kernels::cuda
