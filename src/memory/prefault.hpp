// Makes the system provide pages now, by several threads.
#pragma once

#include <cstddef>
#include <span>

#include "optpipe/topology/binding.hpp"

namespace optpipe::memory {

// Touches all of `pages` (anonymous, private, of this process) with up to `threads` threads, each on a core
// of `binding` where there is one. False where the system has not enough of them.
bool prefault(std::span<std::byte> pages, int threads, const topology::Binding* binding);

}  // namespace optpipe::memory
