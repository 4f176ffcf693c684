// Typed indices: a layer is not a micro-batch, although both are numbers.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace optpipe {

template <class Tag>
struct Id {
  std::int32_t value = -1;  // -1: none

  constexpr Id() = default;
  constexpr explicit Id(std::int64_t v) : value(static_cast<std::int32_t>(v)) {}
  constexpr bool valid() const { return value >= 0; }
  constexpr auto operator<=>(const Id&) const = default;
};

using Rank = Id<struct RankTag>;
using LayerId = Id<struct LayerTag>;            // decoder layer, counted over the whole model
using MicroBatchId = Id<struct MicroBatchTag>;  // what travels through the pipeline at once
using GpuBatchId = Id<struct GpuBatchTag>;      // part of a micro-batch that is computed at once
using TokenStep = Id<struct TokenStepTag>;      // 0 = prefill, which yields the first new token
using StepId = Id<struct StepTag>;              // position in a Program
using BufferId = Id<struct BufferTag>;          // position in a Program's buffer table

}  // namespace optpipe

template <class Tag>
struct std::hash<optpipe::Id<Tag>> {
  std::size_t operator()(const optpipe::Id<Tag>& id) const noexcept {
    return std::hash<std::int32_t>{}(id.value);
  }
};
