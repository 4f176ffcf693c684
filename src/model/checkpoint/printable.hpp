// Text of unknown origin made fit for a message of one line.
#pragma once

#include <string>
#include <string_view>

namespace optpipe::model {

// `text` with control characters and bytes outside ASCII as \xNN; long text is cut in the middle.
std::string printable(std::string_view text);

}  // namespace optpipe::model
