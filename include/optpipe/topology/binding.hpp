// Carries a placement out in this process: threads stay on the rank's cores, memory on its NUMA nodes.
#pragma once

#include <cstddef>
#include <mutex>
#include <span>
#include <string_view>

#include "optpipe/topology/placement.hpp"

namespace optpipe::topology {

enum class Pinning {
  ranks,    // compute threads move among the rank's cores, on one hardware thread of each
  threads,  // each compute thread has a core of its own; for machines without other work
};

enum class MemoryBinding {
  bound,        // the kernel keeps pages on the rank's nodes
  first_touch,  // the kernel refuses to be told; pages lie where the pinned threads that touch them run
  unbound,      // nothing was asked for, or no node is allowed
};
std::string_view name_of(MemoryBinding binding);  // "bound", "first touch", "not bound"

// What became of it. Pages are those looked at after they were touched: a sample of each block.
struct BindingStatus {
  MemoryBinding memory = MemoryBinding::unbound;
  int cpu_error = 0, memory_error = 0;  // errno of the kernel's refusals; 0: none
  Bytes placed = 0;                     // taken through this binding
  Bytes preferred = 0;                  // of those, where running over to other nodes was allowed
  std::uint64_t pages_seen = 0, pages_at_home = 0;
};

// One a rank. Calls may come from any thread.
class Binding {
 public:
  // Does nothing to the process yet, and where it is not carried out nor do the other calls.
  Binding(Topology topology, Placement placement);

  // Binds the process's present threads to the rank's cores and tries a real memory binding, because hwloc
  // says "supported" even where a container refuses. Never fails: what was refused stands in the status.
  void carry_out(Pinning pinning);
  bool is_carried_out() const { return carried_out_; }

  const Topology& topology() const { return topology_; }
  const Placement& placement() const { return placement_; }

  // The calling thread computes as number `index` of a team of so many. Where the rank has no core for each
  // of them, or shares its cores with other ranks, it may run on all of the rank's hardware threads.
  void pin_compute_thread(int index, int team) const noexcept;
  // The calling thread may run on all of the rank's cores: transfers, and threads that start others, which
  // inherit.
  void release_thread() const noexcept;

  // For fresh pages: asks the kernel to keep them on the rank's nodes; strictly, where these have room for as
  // much for each rank that lives on them, and otherwise as far as they have room, since strictness would end
  // the process.
  void place(std::span<std::byte> pages);
  // After they have been touched: looks where they are.
  void verify(std::span<const std::byte> pages);

  BindingStatus status() const;

 private:
  bool has_room(Bytes bytes) const;

  Topology topology_;
  Placement placement_;
  IndexSet cpus_, compute_cpus_;  // all of the rank's; one a core
  Pinning pinning_ = Pinning::ranks;
  bool carried_out_ = false;
  mutable std::mutex mutex_;  // of status_
  BindingStatus status_;
};

// Keeps the calling thread where it computes while it lives. No binding: does nothing.
class ComputeThread {
 public:
  ComputeThread(const Binding* binding, int index, int team) : binding_(binding) {
    if (binding_ != nullptr) binding_->pin_compute_thread(index, team);
  }
  ~ComputeThread() {
    if (binding_ != nullptr) binding_->release_thread();
  }
  ComputeThread(const ComputeThread&) = delete;
  ComputeThread& operator=(const ComputeThread&) = delete;

 private:
  const Binding* binding_;
};

}  // namespace optpipe::topology
