// Programs as text: a line a buffer, a line a step.
//
//   program rank=0 ranks=2 weight_parts=1
//   buffer 3 kv_slot[1] device 4096
//   step 17 attend t=0 m=1 l=3 b=0 reads=2,3 writes=5 after=12,15
#pragma once

#include <string>
#include <string_view>

#include "optpipe/schedule/program.hpp"

namespace optpipe::schedule {

std::string to_text(const Program& program);
std::string to_text(const Program& program, StepId step);  // one line

// The inverse. Throws InputError with the line number where the text is malformed.
Program parse_program(std::string_view text);

}  // namespace optpipe::schedule
