#include "executor/stage/step_text.hpp"

#include <gtest/gtest.h>

namespace optpipe::executor {
namespace {

using schedule::Step;
using schedule::StepKind;

Step step_of(StepKind kind, LayerId layer = {}) {
  Step step;
  step.kind = kind;
  step.token_step = TokenStep(17);
  step.micro_batch = MicroBatchId(1);
  step.gpu_batch = GpuBatchId(0);
  step.layer = layer;
  return step;
}

TEST(StepText, NamesTheStageAndWhatWasRunning) {
  const model::StageSlice slice{LayerId(4), 4, false, true};
  EXPECT_EQ(describe_step(slice, step_of(StepKind::attend, LayerId(5))),
            "this is the stage of layers 4-7, in the step attend of layer 5, micro-batch 1, GPU batch 0, "
            "token step 17");
  EXPECT_EQ(describe_step(slice, step_of(StepKind::sample, LayerId(8))),
            "this is the stage of layers 4-7, in the step sample of the head, micro-batch 1, GPU batch 0, "
            "token step 17");
  Step load = step_of(StepKind::load_weights, LayerId(4));
  load.micro_batch = {};
  load.gpu_batch = {};
  EXPECT_EQ(describe_step(slice, load),
            "this is the stage of layers 4-7, in the step load_weights of layer 4, token step 17");
}

TEST(StepText, NamesTheMessageThatWasAwaited) {
  const model::StageSlice slice{LayerId(0), 1, true, false};
  EXPECT_EQ(describe_step(slice, step_of(StepKind::recv_tokens)),
            "this is the stage of layers 0, in the step recv_tokens: new tokens of micro-batch 1, GPU batch "
            "0, token "
            "step 17");
}

}  // namespace
}  // namespace optpipe::executor
