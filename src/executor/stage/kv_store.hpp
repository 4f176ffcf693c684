// Keys and values of a round on three tiers, and the slots through which the offloaded part reaches the
// device.
#pragma once

#include <vector>

#include "executor/stage/backend.hpp"
#include "executor/stage/batch_table.hpp"
#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"
#include "optpipe/planner/kv.hpp"

namespace optpipe::executor {

class KvStore {
 public:
  KvStore(const planner::KvPlan& plan, memory::DiskFile& disk, const TierMemory& memory);

  void begin(memory::KvLayout layout);  // of a new round; what was stored is gone
  const memory::KvLayout& layout() const { return layout_; }

  // Which block of the round, which slot (-1: nothing is offloaded), for which rows.
  struct Place {
    const memory::KvBlock* block = nullptr;
    std::int32_t slot = -1;
  };

  // Keys and values of positions before the rows' own.
  void read(const Place& place, const BatchRows& rows, std::int32_t stage);  // disk → stage
  void load(const Place& place, const BatchRows& rows, std::int32_t stage,
            Copier& copier);  // host, stage → slot
  // Those of the rows themselves.
  void store(const Place& place, const BatchRows& rows, std::int32_t stage,
             Copier& copier);                                                 // slot → host, write stage
  void write(const Place& place, const BatchRows& rows, std::int32_t stage);  // write stage → disk

  // The parts of the rows' sequences, where they are while in use: home on the device, or slot.
  struct Segment {
    RowSpan rows;
    std::byte* keys = nullptr;    // [positions] rows of `heads` runs; or X, one run of h
    std::byte* values = nullptr;  // the same; null where keys are X
    std::int32_t first_head = 0, heads = 0;
    std::int64_t positions = 0;  // capacity
    StorageFormat format = StorageFormat::native;
  };
  // In decode without what CPU cores attend to.
  std::vector<Segment> segments(const Place& place, const BatchRows& rows) const;
  // What CPU cores attend to, at home on the host.
  std::vector<Segment> cpu_segments(const Place& place, const BatchRows& rows) const;

 private:
  std::byte* on_device(const Place& place, const memory::KvSegment& segment) const;

  memory::DiskFile& disk_;
  memory::Arena device_, host_;
  std::span<std::byte> device_home_, host_home_;
  Bytes disk_home_ = 0;
  std::vector<std::span<std::byte>> slots_, stages_, write_stages_;
  memory::KvLayout layout_;
};

}  // namespace optpipe::executor
