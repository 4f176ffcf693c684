// FlexGen's flags may be abbreviated, as Python's argparse has it: --cpu for --cpu-cache-compute.
#pragma once

#include <string>
#include <vector>

namespace optpipe::cli {

// In the words of a `bench` command, every flag that is the beginning of exactly one of FlexGen's flags, and
// is no flag itself, becomes that flag. Throws UsageError where it could be several.
std::vector<std::string> expand_abbreviations(std::vector<std::string> words);

}  // namespace optpipe::cli
