// A stage's program while it is built: names its buffers and takes steps.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "optpipe/schedule/builder.hpp"
#include "schedule/under_way.hpp"
#include "schedule/visits.hpp"

namespace optpipe::schedule {

// Micro-batches beyond one a rank come back to the first of looped stages while it still computes others of
// the run before. Where hidden states are offloaded, few are on the device at once: then they go to homes of
// their own until it is their turn, or all ranks would wait for each other. Later stages hear of a run only
// when the stage before is through with the last one.
inline bool parks(const StageParameters& p) {
  return p.slice.run_count() > 1 && p.slice.embedding && p.hidden.any && p.micro_batches > p.ranks;
}

// Sets of work buffers, each for the GPU batches of a micro-batch, that take turns where all hidden states
// stay on the device.
std::int64_t hidden_sets(const StageParameters& p);

class BlockProgram {
 protected:
  using Tier = memory::Tier;

  explicit BlockProgram(const StageParameters& parameters) : p_(parameters) {}

  // ---- buffers, made when first named
  BufferId weight_slot(std::int32_t slot);
  BufferId stage(BufferKind kind, std::int32_t slot, Bytes bytes);
  BufferId hidden_work(std::int32_t slot);
  BufferId hidden_home(MicroBatchId m, GpuBatchId k);
  BufferId hidden_disk(MicroBatchId m, GpuBatchId k);
  BufferId attention();
  BufferId attention(const UnderWay& pass);
  BufferId host_rows(const UnderWay& pass);
  BufferId batch(TokenStep t, MicroBatchId m, GpuBatchId k);
  BufferId tokens(MicroBatchId m, GpuBatchId k);
  BufferId kv_block(const Visit& visit, GpuBatchId k, Tier tier);
  BufferId kv_cpu(const Visit& visit, GpuBatchId k);
  BufferId kv_slot(std::int32_t slot);

  // ---- steps; those of rows are of the visit's part of the GPU batch
  struct Uses {
    std::vector<BufferId> reads, writes;
  };
  void emit(StepKind kind, const Visit& visit, LayerId layer, GpuBatchId k, const Uses& uses, int part = 0);

  const StageParameters& p_;
  Program program_;

 private:
  BufferId buffer(BufferKind kind, std::int64_t index, Tier tier, Bytes bytes);
  std::int64_t home_of(MicroBatchId m, GpuBatchId k) const;
  std::int64_t layer_in_slice(const Visit& visit) const { return p_.slice.index_of(visit.layer); }
  std::int64_t batch_index(MicroBatchId m, GpuBatchId k) const;
  std::int64_t block_index(const Visit& visit, GpuBatchId k) const;
  Bytes cpu_bytes(const Visit& visit, GpuBatchId k) const;

  std::map<std::pair<BufferKind, std::int64_t>, BufferId> ids_;
};

}  // namespace optpipe::schedule
