// Hidden states between layers: work buffers on the device and, where the policy offloads them, a home on
// three tiers.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "executor/stage/backend.hpp"
#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"
#include "optpipe/memory/policy.hpp"

namespace optpipe::executor {

struct HiddenPlan {
  memory::TierShares shares;
  Bytes element = 4;          // bytes of one value: fp32 or fp16
  std::int64_t elements = 0;  // of the largest GPU batch: rows · h
  std::int64_t gpu_batches = 0;
  int work_buffers = 0;
  int stages = 0;  // for reading, and as many for writing
  Bytes bytes_of(std::int64_t values) const { return static_cast<Bytes>(values) * element; }
  std::array<Bytes, 3> home_bytes() const;  // of one GPU batch
};

// Hidden states are flat arrays of n values; the first share of them lives on the device, then host,
// then disk.
class HiddenStore {
 public:
  HiddenStore(const HiddenPlan& plan, memory::DiskFile& disk, const TierMemory& memory);

  std::byte* work(std::int32_t buffer) const { return work_[static_cast<std::size_t>(buffer)].data(); }

  void read(std::size_t gpu_batch, std::int64_t n, std::int32_t stage);  // disk → stage
  // home, stage → work
  void load(std::size_t gpu_batch, std::int64_t n, std::int32_t buffer, std::int32_t stage, Copier& copier);
  // work → home, write stage
  void store(std::size_t gpu_batch, std::int64_t n, std::int32_t buffer, std::int32_t stage, Copier& copier);
  void write(std::size_t gpu_batch, std::int64_t n, std::int32_t stage);  // write stage → disk

 private:
  std::array<std::int64_t, 3> cut(std::int64_t n) const;  // values on each tier

  HiddenPlan plan_;
  memory::DiskFile& disk_;
  memory::Arena device_, host_;
  std::vector<std::span<std::byte>> work_, device_home_, host_home_, stages_, write_stages_;
  std::vector<Bytes> disk_home_;
};

}  // namespace optpipe::executor
