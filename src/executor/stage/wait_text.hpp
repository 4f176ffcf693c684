// What a step waits for, in words, for messages about peers that do not answer.
#pragma once

#include <string>

#include "optpipe/model/slice.hpp"
#include "optpipe/schedule/program.hpp"

namespace optpipe::executor {

// "this is the stage of layers 4-7, in the step recv: hidden states of micro-batch 1, GPU batch 0, token step
// 17".
std::string describe_wait(const model::StageSlice& slice, const schedule::Step& step);

}  // namespace optpipe::executor
