// What --version says.
#pragma once

#include <string>

namespace optpipe::cli {

// The program's version, and what this build and this machine offer: backends with the GPUs that are seen,
// transports.
std::string version_text();

}  // namespace optpipe::cli
