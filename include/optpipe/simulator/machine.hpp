// A machine as the simulator knows it: how fast each part of one node is. `optpipe probe --json` writes it,
// `optpipe plan --machine` reads it. Rates are what was measured or a vendor's figure, bytes or operations a
// second (1e9, not 2^30); times are seconds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "optpipe/base/storage_format.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::simulator {

// Matrix products with so many rows of activations: 2·m·n·k operations a second.
struct ProductRate {
  double rows = 0;
  double flops_s = 0;
};

// What a rank computes with: a GPU, or its share of the cores.
struct Device {
  std::string name;
  bool is_gpu = false;
  int threads = 1;   // with which a CPU rank's rates were measured; 1 for a GPU
  Bytes memory = 0;  // of a GPU

  std::vector<ProductRate> products;         // of new tokens, by rows; at least one
  std::vector<ProductRate> prompt_products;  // of prompts
  // What is left of the rate of prompt products when they go on for longer than burst_s: clocks fall when
  // power is at its limit.
  double sustained = 1;
  double burst_s = 0;
  double prompt_attention_flops_s =
      0;  // of the operations that the causal mask leaves: 2·h·s² a prompt and layer
  double attention_bytes_s = 0;   // keys and values of new tokens' attention
  double memory_bytes_s = 0;      // copy, read and write together
  double kernel_s = 0;            // what a kernel takes beyond its work
  double step_s = 0;              // between decode steps of a GPU that do not go as one graph
  double embedding_values_s = 0;  // gathered by a thread; 0 for a GPU, whose kernels read the tables
};

// Between host and device memory: one device alone, and all of a node at once, together.
struct Copies {
  double in = 0, out = 0, both = 0;  // both: the sum of the two ways
  double all_in = 0, all_out = 0, all_both = 0;
  double copy_s = 0;  // what a copy takes beyond its bytes
};

struct HostMemory {
  Bytes bytes = 0;
  double cores_bytes_s = 0;  // read by all cores
  double total_bytes_s = 0;  // by cores and devices together
  // Codes of keys and values that all cores attend to: fewer bytes than they could read, as each takes more
  // operations. 0, or missing in a file: not measured.
  double attention_8bit_bytes_s = 0, attention_4bit_bytes_s = 0;

  // Bytes of keys and values in this format that all cores attend to; where it was not measured,
  // kCodesOfReading of what they read.
  double attention_bytes_s(StorageFormat format) const;
  static constexpr double kCodesOfReading = 0.8;
};

struct Disk {
  Bytes bytes = 0;  // free; 0: not known
  double read_bytes_s = 0, write_bytes_s = 0;
};

// From one rank to the next; bytes_s = 0: there is none.
struct Channel {
  double latency_s = 0;
  double bytes_s = 0;
};

struct Machine {
  std::string name;
  std::string source;  // who says so
  int devices = 1;     // ranks of a node that compute at once at full rate
  int cores = 1;
  Device device;
  Copies copies;
  HostMemory host_memory;
  Disk disk;
  Channel device_link;  // between GPUs of a node, NCCL
  Channel host_link;    // between ranks of a node, through host memory
  Channel network;      // between nodes
};

// Rate for so many rows: on a straight line between the logarithms of its neighbours. Below the smallest the
// weights' bytes bind, so that time stays what it is there; above the largest the rate does.
double product_rate(const std::vector<ProductRate>& rates, double rows);

nlohmann::json to_json(const Machine& machine);
nlohmann::json to_json(const Device& device);

// Throw InputError that names what is missing, negative, or not a number; `origin` is for the message.
Device device_from_json(const nlohmann::json& json, const std::string& origin);
Machine machine_from_json(const nlohmann::json& json, const std::string& origin);

// A file of to_json(), or the name of a machine that the program knows (known_machines()).
Machine load_machine(const std::string& name_or_file);
std::vector<std::string> known_machines();

}  // namespace optpipe::simulator
