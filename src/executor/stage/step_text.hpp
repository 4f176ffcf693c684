// What a step does or waits for, in words, for messages about what failed.
#pragma once

#include <string>

#include "optpipe/model/slice.hpp"
#include "optpipe/schedule/program.hpp"

namespace optpipe::executor {

// "this is the stage of layers 4-7, in the step attend of layer 5, micro-batch 1, GPU batch 0, token step
// 17"; of a message: "..., in the step recv_hidden: hidden states of micro-batch 1, GPU batch 0, token step
// 17".
std::string describe_step(const model::StageSlice& slice, const schedule::Step& step);

}  // namespace optpipe::executor
