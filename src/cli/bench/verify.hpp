// --verify: placement never changes tokens, and this shows it for the run at hand.
#pragma once

#include "cli/bench/outcome.hpp"
#include "cli/bench/token_clock.hpp"

namespace optpipe::cli {

// On rank 0 alone, in this process: runs some of the workload's prompts again as one stage that keeps
// everything on its device, and compares their new tokens with those of `measured`. Throws ResourceError
// where the whole model does not fit.
Verification verify(const BenchOptions& options, const Workload& workload, const PromptBook& prompts,
                    const TokenClock& measured);

}  // namespace optpipe::cli
