#include "kernels/cuda/product_timer.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"

namespace optpipe::kernels::cuda {

struct ProductTimer::Run {
  const MatmulLibrary& library;
  const MatmulLibrary::ProblemPointer problem;
  const Product& product;
  cudaStream_t stream;

  int calls() const { return product.m < 768 ? 2 : 1; }  // that are timed together

  void enqueue(const MatmulLibrary::Algorithm& algorithm, const Product& p) const {
    library.run(*problem, algorithm, p, stream);
  }

  // Sets each byte of halves or floats to what makes a small number.
  void clear_results() const {
    const Product& p = product;
    check(cudaMemset2DAsync(p.out, static_cast<Bytes>(p.out_stride) * p.out_element(), 0x2c,
                            static_cast<Bytes>(p.n) * p.out_element(), static_cast<std::size_t>(p.m), stream),
          "cudaMemset2DAsync");
  }

  // *sum: over the bits of all results, each with its place.
  void sum_bits(const MatmulLibrary::Algorithm& algorithm, unsigned long long* sum) const {
    clear_results();
    enqueue(algorithm, product);
    launch_sum_of_bits(product.out, product.m, static_cast<Bytes>(product.n) * product.out_element(),
                       static_cast<Bytes>(product.out_stride) * product.out_element(), sum, stream);
  }
};

ProductTimer::ProductTimer(std::span<const std::byte> cold) : cold_(cold) {}

void ProductTimer::EventDeleter::operator()(cudaEvent_t event) const {
  warn(cudaEventDestroy(event), "cudaEventDestroy");
}

ProductTimer::Event ProductTimer::make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "cudaEventCreate");
  return Event(event);
}

Product ProductTimer::with_cold_weight(const Product& product) {
  constexpr Bytes kPage = 4096;
  const Bytes bytes = product.weight_bytes();
  if (cold_.size() < 2 * bytes) return product;
  if (next_ + bytes > cold_.size()) next_ = 0;
  Product result = product;
  result.weight = reinterpret_cast<const Half*>(cold_.data() + next_);
  next_ += round_up(bytes, kPage);
  return result;
}

// The first is the reference.
void ProductTimer::compare(const Run& run, std::vector<Timed>& candidates) {
  auto* sums = reinterpret_cast<unsigned long long*>(sums_.data());
  for (std::size_t i = 0; i < candidates.size(); ++i) run.sum_bits(candidates[i].algorithm, sums + i);
  std::array<unsigned long long, kMost + 1> found{};
  check(cudaMemcpyAsync(found.data(), sums, sizeof found, cudaMemcpyDeviceToHost, run.stream),
        "cudaMemcpyAsync");
  check(cudaStreamSynchronize(run.stream), "cudaStreamSynchronize");
  for (std::size_t i = 0; i < candidates.size(); ++i) candidates[i].same = found[i] == found[0];
}

void ProductTimer::time_once(const Run& run, std::vector<Timed>& candidates, double close) {
  double least = 0;
  for (const Timed& each : candidates)
    if (each.microseconds > 0 && (least == 0 || each.microseconds < least)) least = each.microseconds;
  std::vector<Timed*> timed;
  for (Timed& each : candidates)
    if (each.same && each.microseconds <= close * least) timed.push_back(&each);
  for (int i = 0; i < 3; ++i) run.enqueue(candidates.front().algorithm, with_cold_weight(run.product));
  for (std::size_t i = 0; i < timed.size(); ++i) {
    check(cudaEventRecord(intervals_[i].begin.get(), run.stream), "cudaEventRecord");
    for (int call = 0; call < run.calls(); ++call)
      run.enqueue(timed[i]->algorithm, with_cold_weight(run.product));
    check(cudaEventRecord(intervals_[i].end.get(), run.stream), "cudaEventRecord");
  }
  check(cudaStreamSynchronize(run.stream), "cudaStreamSynchronize");
  for (std::size_t i = 0; i < timed.size(); ++i) {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, intervals_[i].begin.get(), intervals_[i].end.get()),
          "cudaEventElapsedTime");
    const double microseconds = milliseconds * 1e3 / run.calls();
    double& shortest = timed[i]->microseconds;
    shortest = shortest > 0 ? std::min(shortest, microseconds) : microseconds;
  }
}

std::vector<ProductTimer::Timed> ProductTimer::time(const MatmulLibrary& library, const Product& p,
                                                    const MatmulLibrary::Algorithm& reference,
                                                    std::span<const MatmulLibrary::Algorithm> candidates,
                                                    cudaStream_t stream) {
  const Run run{library, library.describe(shape_of(p)), p, stream};
  std::vector<Timed> timed;
  if (!library.works(*run.problem, reference)) return timed;
  timed.push_back({reference, true, 0});
  for (const auto& candidate : candidates)
    if (timed.size() <= kMost && library.works(*run.problem, candidate))
      timed.push_back({candidate, true, 0});
  compare(run, timed);
  timed.erase(timed.begin());
  if (timed.empty()) return timed;
  time_once(run, timed, 1);
  time_once(run, timed, 1.5);
  time_once(run, timed, 1.1);
  run.clear_results();
  std::ranges::stable_sort(timed, {},
                           [](const Timed& each) { return std::pair(!each.same, each.microseconds); });
  return timed;
}

}  // namespace optpipe::kernels::cuda
