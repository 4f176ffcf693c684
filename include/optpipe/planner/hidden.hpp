// What hidden states between layers take: work buffers on the device and, where the policy offloads them, a
// home on three tiers.
#pragma once

#include <array>
#include <cstdint>

#include "optpipe/base/dtype.hpp"
#include "optpipe/base/units.hpp"
#include "optpipe/memory/policy.hpp"
#include "optpipe/schedule/builder.hpp"

namespace optpipe::planner {

inline constexpr int kHiddenSlots = 3;  // work buffers where hidden states are offloaded

struct HiddenPlan {
  memory::TierShares shares;
  Bytes element = 4;          // bytes of one value: fp32 or fp16
  std::int64_t elements = 0;  // of the largest GPU batch: rows · h
  std::int64_t homes = 0;     // of a GPU batch each
  int work_buffers = 0;
  int stages = 0;  // for reading, and as many for writing

  Bytes bytes_of(std::int64_t values) const { return static_cast<Bytes>(values) * element; }
  // Of n values of a flat array, how many live on each tier: the first share on the device, then host, then
  // disk.
  std::array<std::int64_t, 3> cut(std::int64_t n) const;
  std::array<Bytes, 3> home_bytes() const;  // of one GPU batch

  Bytes all_work() const;    // on the device
  Bytes all_stages() const;  // on the host
  std::array<Bytes, 3> all_homes() const;
};

// `rows`: of the largest GPU batch; `hidden`: width of the model. Of `parameters` all that says how batches
// pass through the stage.
HiddenPlan plan_hidden(std::int64_t rows, std::int64_t hidden, const memory::Policy& policy,
                       const schedule::StageParameters& parameters, DType dtype);

}  // namespace optpipe::planner
