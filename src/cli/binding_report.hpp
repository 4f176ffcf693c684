// What the user hears of the ranks' bindings.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "optpipe/executor/bind_ranks.hpp"

namespace optpipe::cli {

// A line a rank under one of headings: rank, host, GPU, PCI id, NUMA node, cores, threads, memory.
std::vector<std::string> binding_table(std::span<const executor::RankBinding> ranks);

struct Remark {
  std::string text;
  bool costs = true;  // whether the run may be slower for it
};

// At most one line a host and kind: what the system refused there, what that costs, how to allow it; and
// which ranks' launchers left them no core beside their GPU.
std::vector<Remark> binding_remarks(std::span<const executor::RankBinding> ranks);

// {"mode", "ranks": [{"rank", "host", "gpu", "pci_bus", "numa_nodes", "cpus", "cores", "threads", "shared",
// "memory", "memory_bytes", ...}], "remarks": [...]}.
nlohmann::json binding_json(const std::string& mode, std::span<const executor::RankBinding> ranks);

// The remarks; the table too, to users who asked for it (--bind report) or for more (--verbose).
void log_bindings(const std::string& mode, std::span<const executor::RankBinding> ranks);

}  // namespace optpipe::cli
