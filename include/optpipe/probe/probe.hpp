// The measured ceilings of the machines that the ranks run on: what `optpipe probe` prints, and what the
// simulator predicts from.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "optpipe/comm/transport.hpp"
#include "optpipe/executor/device_links.hpp"
#include "optpipe/simulator/machine.hpp"
#include "optpipe/topology/binding.hpp"

namespace optpipe::probe {

struct Options {
  std::optional<int> gpu;                        // of this rank; none: it computes on the CPU
  int threads = 1;                               // of this rank
  std::shared_ptr<topology::Binding> binding{};  // of its threads and host memory
  std::filesystem::path offload_directory;
  executor::CommDevice comm_device = executor::CommDevice::automatic;
  comm::Seconds timeout{600};
};

// To the next rank.
struct LinkRates {
  simulator::Channel host;    // by the transport
  simulator::Channel device;  // from GPU to GPU; all 0 where there is no such link
};

// Bytes a second. "All": all ranks at the same time, this rank's part.
struct RankRates {
  std::string host;
  int local_rank = 0, local_size = 1;
  simulator::Device device;
  double copy_in = 0, copy_out = 0, copy_both = 0;  // alone on its node
  double all_in = 0, all_out = 0, all_both = 0;
  double small_copy_s = 0;
  double read = 0, read_small_pages = 0;                  // host memory by the rank's cores, all
  double read_beside_copies = 0, copies_beside_read = 0;  // both at the same time, all
  double attention_8bit = 0, attention_4bit = 0;          // codes that the rank's cores attend to, all
  double disk_write = 0, disk_read = 0;                   // all
  Bytes disk_free = 0;
  LinkRates next;  // of the last rank: nothing
};

struct Findings {
  simulator::Machine machine;    // of the first rank's node
  std::vector<RankRates> ranks;  // of all nodes
};

// What the first rank's node makes of its ranks' rates: sums of what they reach together. `cores` and
// `memory`: of that node.
simulator::Machine to_machine(const std::vector<RankRates>& ranks, int cores, Bytes memory);

// Keys and values that decode attends to: of a layer of one GPU batch.
struct AttentionShape {
  StorageFormat format = StorageFormat::native;  // native: fp16
  std::int64_t heads = 32, head_dim = 128, context = 512, sequences = 48;
};

// Bytes a second of keys and values of that shape to which so many of this rank's threads attend, and that
// cross to its device, while all ranks do the same: both at once, and each alone.
struct SharedMemoryRates {
  int threads = 0;
  double cores = 0, copies = 0;
  double cores_alone = 0, copies_alone = 0;
};
// With Options::threads and, from 8 on, first with half of them. Collective; takes two or three seconds.
// Throws as measure() does.
std::vector<SharedMemoryRates> measure_shared_memory(const Options& options, const AttentionShape& shape,
                                                     comm::Transport& transport);

// Collective; takes half a minute at most. Findings on rank 0, elsewhere empty ones. Throws what the
// measurements throw; the other ranks then wait until their timeout, so end them.
Findings measure(const Options& options, comm::Transport& transport);

nlohmann::json to_json(const Findings& findings);
std::vector<std::string> to_table(const Findings& findings);

}  // namespace optpipe::probe
