#include "optpipe/schedule/links.hpp"

#include <algorithm>

namespace optpipe::schedule {
namespace {

bool has_head(const Program& program) {
  return std::ranges::any_of(program.steps, [](const Step& step) {
    return step.kind == StepKind::sample || step.kind == StepKind::send_tokens;
  });
}

}  // namespace

std::vector<Link> links(std::span<const Program> programs) {
  std::vector<Link> all;
  const std::size_t ranks = programs.size();
  if (ranks < 2) return all;
  for (std::size_t rank = 0; rank < ranks; ++rank)
    all.push_back({rank, (rank + 1) % ranks, StepKind::send_hidden, StepKind::recv_hidden});
  const auto head = std::ranges::find_if(programs, has_head);
  const auto from = head == programs.end() ? ranks - 1 : static_cast<std::size_t>(head - programs.begin());
  if (from > 0) all.push_back({from, 0, StepKind::send_tokens, StepKind::recv_tokens});
  return all;
}

}  // namespace optpipe::schedule
