#include "optpipe/planner/hidden.hpp"

#include <algorithm>

#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"
#include "optpipe/planner/weights.hpp"

namespace optpipe::planner {

using memory::aligned;

std::array<std::int64_t, 3> HiddenPlan::cut(std::int64_t n) const {
  const auto up_to = [&](double percent) {
    return std::min(n, static_cast<std::int64_t>(static_cast<double>(n) * percent / 100 + 0.5));
  };
  const auto device = up_to(shares.device),
             memory = shares.any_on_disk() ? up_to(shares.device + shares.host) : n;
  return {device, memory - device, n - memory};
}

// One value more than the share, since shares of smaller batches may round up.
std::array<Bytes, 3> HiddenPlan::home_bytes() const {
  if (shares.all_on_device()) return {};
  const std::array percent{shares.device, shares.host, shares.disk()};
  const auto values = cut(elements);
  std::array<Bytes, 3> bytes{};
  for (std::size_t tier = 0; tier < 3; ++tier)
    bytes[tier] = percent[tier] > 0 ? aligned(bytes_of(values[tier] + 1)) : 0;
  bytes[2] = memory::disk_aligned(bytes[2]);
  return bytes;
}

Bytes HiddenPlan::all_work() const { return static_cast<Bytes>(work_buffers) * aligned(bytes_of(elements)); }

Bytes HiddenPlan::all_stages() const { return 2 * static_cast<Bytes>(stages) * home_bytes()[2]; }

std::array<Bytes, 3> HiddenPlan::all_homes() const {
  auto bytes = home_bytes();
  for (Bytes& tier : bytes) tier *= static_cast<Bytes>(homes);
  return bytes;
}

HiddenPlan plan_hidden(std::int64_t rows, std::int64_t hidden, const memory::Policy& policy,
                       const schedule::StageParameters& parameters, DType dtype) {
  HiddenPlan plan;
  plan.shares = policy.hidden;
  plan.element = size_of(dtype);
  plan.elements = rows * hidden;
  plan.homes = schedule::hidden_homes(parameters);
  plan.work_buffers = static_cast<int>(schedule::hidden_work_buffers(parameters));
  plan.stages = policy.hidden.any_on_disk() && plan.homes > 0 ? kStages : 0;
  return plan;
}

}  // namespace optpipe::planner
