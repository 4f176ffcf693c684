// What a rank takes, by place and by class, to the byte where the program takes it itself.
#pragma once

#include <array>
#include <cstdint>

#include "optpipe/planner/stage_plan.hpp"

namespace optpipe::planner {

// Where bytes lie. The CPU backend's device is plain host memory; on a GPU rank all host memory that
// transfers touch is pinned.
enum class Place : std::uint8_t { gpu, pinned, plain, disk };
inline constexpr std::array kPlaces{Place::gpu, Place::pinned, Place::plain, Place::disk};
const char* name_of(Place place);  // "GPU", "host, pinned", "host", "disk"

enum class MemoryClass : std::uint8_t {
  weights,        // at home, on whatever tier
  kv,             // keys and values at home
  activations,    // hidden states: at home and in work buffers
  staging,        // slots on the device and pages on the host through which offloaded data passes
  workspaces,     // what computation writes inside a step, the product library's workspace included
  communication,  // hidden states and tokens on their way between ranks, MPI's own buffers
  runtime,        // the process, its program of steps, CUDA's context and kernels, NCCL
};
inline constexpr std::array kMemoryClasses{MemoryClass::weights,     MemoryClass::kv,
                                           MemoryClass::activations, MemoryClass::staging,
                                           MemoryClass::workspaces,  MemoryClass::communication,
                                           MemoryClass::runtime};
const char* name_of(MemoryClass what);  // "weights", "KV cache", ...

class Ledger {
 public:
  void add(Place place, MemoryClass what, Bytes bytes) { of(place, what) += bytes; }
  Bytes at(Place place, MemoryClass what) const {
    return bytes_[static_cast<std::size_t>(place)][static_cast<std::size_t>(what)];
  }
  Bytes total(Place place) const;
  Bytes host(MemoryClass what) const { return at(Place::pinned, what) + at(Place::plain, what); }
  Bytes host() const { return total(Place::pinned) + total(Place::plain); }
  Ledger& operator+=(const Ledger& other);
  bool operator==(const Ledger&) const = default;

 private:
  Bytes& of(Place place, MemoryClass what) {
    return bytes_[static_cast<std::size_t>(place)][static_cast<std::size_t>(what)];
  }
  std::array<std::array<Bytes, kMemoryClasses.size()>, kPlaces.size()> bytes_{};
};

// What arenas and the offload file take, in whole pages: exactly what the executors ask for.
Ledger arenas(const StagePlan& plan);

// Bytes that libraries take and that no arithmetic gives; docs/memory.md says how each was measured.
namespace runtime {
inline constexpr Bytes kProcess = 16 * kMiB;       // code, heap, tokenizer, stacks
inline constexpr Bytes kGrowth = 4 * kMiB;         // of a process that is larger already: heap, report
inline constexpr Bytes kReading = 8 * kMiB;        // a part of a weight on its way, of each thread
inline constexpr Bytes kMpi = 32 * kMiB;           // Open MPI's shared segments and eager buffers, a rank
inline constexpr Bytes kThread = 2 * kMiB;         // a thread's stack and kernel scratch on the CPU backend
inline constexpr Bytes kCudaContext = 528 * kMiB;  // on the GPU: what the first CUDA call takes
inline constexpr Bytes kCudaKernels = 24 * kMiB;   // on the GPU: streams, events, loaded kernels, graphs
inline constexpr Bytes kCudaHost = 376 * kMiB;     // driver and libraries in the process
inline constexpr Bytes kNcclGpu = 96 * kMiB;       // a connected neighbour, on the GPU
inline constexpr Bytes kNcclHost = 48 * kMiB;      // a connected neighbour, on the host
inline constexpr Bytes kGpuGranule = 2 * kMiB;     // cudaMalloc rounds large blocks up to it
}  // namespace runtime

// What the runtime's share depends on.
struct RuntimeUse {
  int threads = 1;         // for computation
  std::int64_t steps = 0;  // of the longest round's program
  Bytes prompts = 0;       // on the first rank: prompts and results in memory
  Bytes process = runtime::kProcess;
};

// Arenas and runtime.
Ledger make_ledger(const StagePlan& plan, const RuntimeUse& use);

}  // namespace optpipe::planner
