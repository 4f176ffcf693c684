// Attention with something done around each unit of work, by the thread that does it: one start of all
// threads for what would else take one each.
#pragma once

#include <functional>

#include "kernels/cpu/attention_plan.hpp"
#include "optpipe/base/storage_format.hpp"

namespace optpipe::kernels {

using AroundUnit = std::function<void(const AttentionUnit& unit)>;

// As attention() (cpu.hpp); `before` may still write the unit's own heads of q, keys and values.
void attention_units(std::span<const AttentionTask> tasks, const RowFormat& kv, int threads,
                     const AroundUnit& before, const AroundUnit& after);

}  // namespace optpipe::kernels
