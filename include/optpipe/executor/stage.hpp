// A stage at work: one rank's slice of the model, its memory, and the interpreter that runs its programs.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "optpipe/comm/device_link.hpp"
#include "optpipe/comm/transport.hpp"
#include "optpipe/kernels/sampling.hpp"
#include "optpipe/memory/round.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"
#include "optpipe/model/slice.hpp"
#include "optpipe/planner/stage_plan.hpp"
#include "optpipe/schedule/program.hpp"
#include "optpipe/schedule/timeline.hpp"
#include "optpipe/topology/binding.hpp"

namespace optpipe::executor {

// Sees the logits [V] of every new token of every prompt, on the last stage, before the choice.
using LogitsObserver =
    std::function<void(std::int64_t sequence, std::int64_t token_step, std::span<const float> logits)>;

// Called on each rank after each round, with the times of its steps and the instant that they count from.
using TimelineObserver = std::function<void(const schedule::Program&, std::span<const schedule::StepTime>,
                                            std::chrono::steady_clock::time_point round_begin)>;

struct StageOptions {
  memory::Policy policy;
  kernels::SamplingOptions sampling;
  std::filesystem::path offload_directory;
  int threads = 1;              // for computation; transfers have their own
  bool verify_offload = false;  // checksums of what is on disk
  LogitsObserver on_logits{};
  TimelineObserver on_timeline{};
  std::shared_ptr<comm::DeviceLink>
      device_link{};                             // between GPUs; none: through host memory and the transport
  std::shared_ptr<topology::Binding> binding{};  // of threads and host memory; none: as the system pleases
};

// On the first stage: where new tokens go, and who decides when a sequence is over.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual std::span<const std::int32_t> prompt(std::int64_t sequence) const = 0;
  // Takes the next token of the prompt with this index; returns whether the sequence goes on.
  virtual bool accept(std::int64_t sequence, std::int32_t token) = 0;
  // Whether prompts that wait may begin.
  virtual bool takes_more() const { return true; }
};

struct RunStatistics {
  double prefill_s = 0;  // until the first stage has every sequence's first token
  double total_s = 0;
  schedule::Utilization use;
  Bytes disk_read = 0, disk_written = 0;  // of the disk tier, while steps ran
};

// What was really taken, by measurement; what has no measure here is 0.
struct MemoryPeak {
  Bytes least_gpu_free = 0;  // of the GPU's memory, whoever else takes of it
  Bytes gpu_arenas = 0;      // taken from the GPU by this stage
  Bytes pinned = 0;
  Bytes disk = 0;  // blocks of the offload file
};

class Stage {
 public:
  virtual ~Stage() = default;

  // Runs one round from prefill to its last token step. `sink` is needed on the first stage only.
  virtual RunStatistics run(const memory::Round& round, TokenSink* sink) = 0;
  virtual const planner::StagePlan& plan() const = 0;  // what was taken
  virtual MemoryPeak memory_peak() const = 0;          // so far
};

// Called once, from the thread where it happened, when a step fails; other threads may still be waiting for
// peers, so it should make those waits end (Transport::abort).
using FailureHandler = std::function<void(std::exception_ptr)>;

// The format of the slice's weights, from the first layer's matrices. Throws InputError where the checkpoint
// lacks them.
DType weight_dtype(const model::ModelConfig& config, const model::StageSlice& slice,
                   const model::Checkpoint& checkpoint);

// The format that the layers' matrices are kept in: `wanted`, or for `native` the checkpoint's own, which may
// be quantized.
StorageFormat weight_format(const model::ModelConfig& config, const model::StageSlice& slice,
                            const model::Checkpoint& checkpoint, StorageFormat wanted);

// Takes all memory that any of `rounds` will need, and reads the slice's weights into it.
std::unique_ptr<Stage> make_cpu_stage(const model::ModelConfig& config, const model::StageSlice& slice,
                                      const model::Checkpoint& checkpoint,
                                      const std::vector<memory::Round>& rounds, const StageOptions& options,
                                      comm::Transport& transport, FailureHandler on_failure);

// The same on GPU `device` (CUDA's numbering). fp16 throughout; weights of other formats are converted as
// they are read.
std::unique_ptr<Stage> make_cuda_stage(int device, const model::ModelConfig& config,
                                       const model::StageSlice& slice, const model::Checkpoint& checkpoint,
                                       const std::vector<memory::Round>& rounds, const StageOptions& options,
                                       comm::Transport& transport, FailureHandler on_failure);

// GPUs that this process can use; 0 where there is none, or where the program was built without CUDA.
int cuda_devices();
bool built_with_cuda();

struct GpuName {
  std::string uuid;     // the same for two processes exactly where they share a GPU
  std::string pci_bus;  // "0000:65:00.0"
};
GpuName gpu_name(int device);
Bytes gpu_memory_left(int device);  // makes the context of this process, if it has none yet
void use_gpu(int device);           // becomes the calling thread's current one

}  // namespace optpipe::executor
