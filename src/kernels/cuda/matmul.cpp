#include "kernels/cuda/matmul.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/cuda/product_timer.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::kernels::cuda {

bool is_aligned(const Product& p) {
  constexpr std::uintptr_t kWidestLoad = 16;  // bytes
  const auto bits = reinterpret_cast<std::uintptr_t>(p.x) | reinterpret_cast<std::uintptr_t>(p.weight) |
                    reinterpret_cast<std::uintptr_t>(p.out) |
                    static_cast<std::uintptr_t>(p.x_stride | p.k | p.n) * sizeof(Half) |
                    static_cast<std::uintptr_t>(p.out_stride) * p.out_element();
  return bits % kWidestLoad == 0;
}

Matmul::Matmul(void* workspace, Bytes workspace_bytes) : library_(workspace, workspace_bytes) {}
Matmul::~Matmul() = default;

void Matmul::start_timing(std::span<const std::byte> cold) { timer_ = std::make_unique<ProductTimer>(cold); }
void Matmul::stop_timing() { timer_.reset(); }

const Matmul::Choice& Matmul::reference(const Product& p) {
  MatmulShape whole = shape_of(p);
  whole.m = MatmulLibrary::kMany;
  whole.n = whole.out_stride = p.whole_n;
  whole.x_stride = p.k;
  auto found = references_.find(whole);
  if (found == references_.end()) found = references_.emplace(whole, library_.reference(whole)).first;
  return found->second;
}

// What was fast for the class before is a candidate, too: set-up passes from many rows to few.
Matmul::Choice Matmul::time(const Product& p, const MatmulLibrary::Algorithm& reference,
                            const MatmulShape& shape, Stream stream) {
  constexpr std::size_t kHints = 3;
  constexpr double kGain = 0.98;  // below which the library's ranking stands
  Key any_rows{shape, p.whole_n};
  any_rows.first.m = 0;
  auto& hints = hints_[any_rows];
  const auto candidates = library_.like(reference, shape, ProductTimer::most(p), hints);
  const auto timed = timer_->time(library_, p, reference, candidates, stream);
  for (const auto& each : timed)
    log::debug("{} rows [{} x {} of {}]{}{}: {:.1f} us{}, {}", shape.m, p.n, p.k, p.whole_n,
               p.add ? ", added" : "", p.wide ? ", fp32" : "", each.microseconds,
               each.same ? "" : " but other bits", MatmulLibrary::text_of(each.algorithm));
  if (timed.empty() || !timed.front().same) return std::nullopt;
  hints.clear();
  for (const auto& each : timed)
    if (each.same && hints.size() < kHints) hints.push_back(each.algorithm);
  const auto first_ranked = MatmulLibrary::text_of(candidates.front());
  for (const auto& each : timed)
    if (each.same && timed.front().microseconds > kGain * each.microseconds &&
        MatmulLibrary::text_of(each.algorithm) == first_ranked)
      return each.algorithm;
  return timed.front().algorithm;
}

// Without a timer, the library's first choice for so many rows where that is of the right kind and works for
// a single row, too; where it is not, that for somewhat more rows; at last any of the right kind.
const Matmul::Choice& Matmul::choose(const Product& p, Stream stream) {
  MatmulShape shape = shape_of(p);
  shape.m = row_class(p.m);
  shape.x_stride = p.k;
  shape.out_stride = p.n;
  const Key key{shape, p.whole_n};
  const auto found = choices_.find(key);
  if (found != choices_.end()) return found->second;
  Choice choice;
  if (const Choice& kind = reference(p)) {
    if (timer_ && ProductTimer::is_worth_it(p)) choice = time(p, *kind, shape, stream);
    if (!choice) {
      const auto first = library_.like(*kind, shape, 1);
      choice = first.empty() ? *kind : first.front();
    }
  }
  return choices_.emplace(key, choice).first->second;
}

// Rows beyond what an algorithm takes at once (its workspace grows with them) go in several calls.
Matmul::Plan Matmul::make_plan(const Product& p, Stream stream) {
  Plan plan{nullptr, choose(p, stream), p.m};
  MatmulShape part = shape_of(p);
  plan.problem = library_.describe(part);
  if (!plan.algorithm) return plan;
  while (part.m > 1 && !library_.works(*plan.problem, *plan.algorithm)) {
    part.m = plan.rows = (plan.rows + 1) / 2;
    plan.problem = library_.describe(part);
  }
  if (part.m == 1 && !library_.works(*plan.problem, *plan.algorithm)) plan.algorithm.reset();
  return plan;
}

bool Matmul::run(const Product& p, Stream stream) {
  if (!is_aligned(p)) return false;
  const Key key{shape_of(p), p.whole_n};
  auto found = plans_.find(key);
  if (found == plans_.end()) found = plans_.emplace(key, make_plan(p, stream)).first;
  const Plan& plan = found->second;
  if (!plan.algorithm) return false;
  if (plan.rows < p.m) return run_parts(p, plan.rows, stream);
  library_.run(*plan.problem, *plan.algorithm, p, stream);
  return true;
}

bool Matmul::run_parts(const Product& p, std::int64_t rows, Stream stream) {
  for (std::int64_t row = 0; row < p.m; row += rows) {
    Product part = p;
    part.m = std::min(rows, p.m - row);
    part.x += row * p.x_stride;
    part.out = static_cast<std::byte*>(p.out) + static_cast<Bytes>(row * p.out_stride) * p.out_element();
    if (!run(part, stream)) return false;  // not after a part that ran: all have the same algorithm
  }
  return true;
}

}  // namespace optpipe::kernels::cuda
