// Which messages travel between the programs of a pipeline's ranks.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "optpipe/schedule/program.hpp"

namespace optpipe::schedule {

// A link carries one kind of message from one rank to another: the n-th send meets the n-th receive.
struct Link {
  std::size_t from, to;
  StepKind send, recv;
};

// Hidden states go to the next rank (looped stages: round in a ring), tokens from the rank of the head to
// rank 0.
std::vector<Link> links(std::span<const Program> programs);

constexpr bool is_send(StepKind kind) {
  return kind == StepKind::send_hidden || kind == StepKind::send_tokens;
}
constexpr bool is_recv(StepKind kind) {
  return kind == StepKind::recv_hidden || kind == StepKind::recv_tokens;
}

}  // namespace optpipe::schedule
