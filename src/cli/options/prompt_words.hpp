// The words of the command line, with "--prompt A B" as one flag a text.
#pragma once

#include <string>
#include <vector>

namespace optpipe::cli {

// Every text of "--prompt A B" gets its own flag: an option of CLI11 that takes several words at once would
// cut the prompt "[A, B]" in two. Without the program's name. Throws UsageError where a text is missing.
std::vector<std::string> repeat_prompt_flag(int argc, const char* const* argv);

}  // namespace optpipe::cli
