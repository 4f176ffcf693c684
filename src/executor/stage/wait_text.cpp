#include "executor/stage/wait_text.hpp"

#include <fmt/format.h>

namespace optpipe::executor {
namespace {

const char* message_of(schedule::StepKind kind) {
  switch (kind) {
    case schedule::StepKind::send_tokens:
    case schedule::StepKind::recv_tokens:
      return "new tokens";
    default:
      return "hidden states";
  }
}

}  // namespace

std::string describe_wait(const model::StageSlice& slice, const schedule::Step& step) {
  return fmt::format(
      "this is the stage of {}, in the step {}: {} of micro-batch {}, GPU batch {}, token step {}",
      to_string(slice), name_of(step.kind), message_of(step.kind), step.micro_batch.value,
      step.gpu_batch.value, step.token_step.value);
}

}  // namespace optpipe::executor
