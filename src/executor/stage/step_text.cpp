#include "executor/stage/step_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

namespace optpipe::executor {
namespace {

using schedule::Step;
using schedule::StepKind;

// What a message carries; nothing for a step that is none.
const char* message_of(StepKind kind) {
  switch (kind) {
    case StepKind::send_tokens:
    case StepKind::recv_tokens:
      return "new tokens";
    case StepKind::send_hidden:
    case StepKind::recv_hidden:
      return "hidden states";
    default:
      return nullptr;
  }
}

// The head stands behind the last layer.
std::string layer_of(const model::StageSlice& slice, const Step& step) {
  return step.layer == slice.end() ? "the head" : fmt::format("layer {}", step.layer.value);
}

}  // namespace

std::string describe_step(const model::StageSlice& slice, const Step& step) {
  std::vector<std::string> parts;
  const char* message = message_of(step.kind);
  if (message == nullptr && step.layer.valid()) parts.push_back(layer_of(slice, step));
  if (step.micro_batch.valid()) parts.push_back(fmt::format("micro-batch {}", step.micro_batch.value));
  if (step.gpu_batch.valid()) parts.push_back(fmt::format("GPU batch {}", step.gpu_batch.value));
  parts.push_back(fmt::format("token step {}", step.token_step.value));
  return fmt::format("this is the stage of {}, in the step {}{} of {}", to_string(slice), name_of(step.kind),
                     message == nullptr ? "" : fmt::format(": {}", message), fmt::join(parts, ", "));
}

}  // namespace optpipe::executor
