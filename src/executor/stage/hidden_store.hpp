// Hidden states between layers: work buffers on the device and, where the policy offloads them, a home on
// three tiers.
#pragma once

#include <span>
#include <vector>

#include "executor/stage/backend.hpp"
#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"
#include "optpipe/planner/hidden.hpp"

namespace optpipe::executor {

// Hidden states are flat arrays of n values, cut over the tiers as the plan says.
class HiddenStore {
 public:
  HiddenStore(const planner::HiddenPlan& plan, memory::DiskFile& disk, const TierMemory& memory);

  std::byte* work(std::int32_t buffer) const { return work_[static_cast<std::size_t>(buffer)].data(); }

  void read(std::int32_t home, std::int64_t n, std::int32_t stage);  // disk → stage
  // home, stage → work
  void load(std::int32_t home, std::int64_t n, std::int32_t buffer, std::int32_t stage, Copier& copier);
  // work → home, write stage
  void store(std::int32_t home, std::int64_t n, std::int32_t buffer, std::int32_t stage, Copier& copier);
  void write(std::int32_t home, std::int64_t n, std::int32_t stage);  // write stage → disk

 private:
  planner::HiddenPlan plan_;
  memory::DiskFile& disk_;
  memory::Arena device_, host_;
  std::vector<std::span<std::byte>> work_, device_home_, host_home_, stages_, write_stages_;
  std::vector<Bytes> disk_home_;
};

}  // namespace optpipe::executor
