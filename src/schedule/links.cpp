#include "optpipe/schedule/links.hpp"

namespace optpipe::schedule {

std::vector<Link> links(std::size_t ranks) {
  std::vector<Link> all;
  for (std::size_t rank = 0; rank + 1 < ranks; ++rank)
    all.push_back({rank, rank + 1, StepKind::send_hidden, StepKind::recv_hidden});
  if (ranks > 1) all.push_back({ranks - 1, 0, StepKind::send_tokens, StepKind::recv_tokens});
  return all;
}

}  // namespace optpipe::schedule
