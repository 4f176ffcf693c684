// What the command line says, as plain structs. The options themselves are defined in cli/options/.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "optpipe/base/log.hpp"
#include "optpipe/base/units.hpp"
#include "optpipe/kernels/sampling.hpp"
#include "optpipe/memory/policy.hpp"

namespace optpipe::cli {

struct ModelOptions {
  std::string model;  // checkpoint folder, or a size's name with dummy weights
  std::string path;   // weights, where they lie elsewhere; DUMMY
  std::uint64_t dummy_seed = 0;
};

// What the ranks may take, where the user says so.
struct Budgets {
  std::optional<Bytes> gpu;   // each GPU
  std::optional<Bytes> host;  // each whole node
  std::optional<Bytes> disk;  // each node, for the disk tier
};

struct RunOptions {
  memory::Policy policy;
  std::vector<double> percent{100, 0, 100, 0, 100, 0};
  std::vector<std::int64_t> stage_layers;  // empty: balanced
  std::string offload_directory;
  bool verify_offload = false;
  std::string device = "auto";  // cuda where there is a GPU, cpu elsewhere
  std::vector<int> gpu_map;     // GPU of each local rank; empty: local rank modulo GPUs
  std::string comm_device = "auto";
  std::string bind = "auto";
  int threads = 0;  // 0: one a core of the rank's binding
  double comm_timeout_s = 600;
  Budgets budgets;
  bool show_memory = false;  // print planned and measured memory of every rank
};

struct GenerateOptions {
  Verbosity verbosity = Verbosity::normal;
  ModelOptions model;
  RunOptions run;
  kernels::SamplingOptions sampling;
  std::vector<std::string> prompts;
  std::string input, output, json, trace;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool strict = false;  // a bad prompt ends the run
  bool resume = false;
  std::int64_t max_new_tokens = 32;
};

struct ProbeOptions {
  RunOptions run;  // device, links, threads, folder of the disk tier
  std::string json;
};

// FlexGen's flags, by its names and meanings, and what goes beyond them.
struct BenchOptions {
  Verbosity verbosity = Verbosity::normal;
  ModelOptions model{.model = "facebook/opt-6.7b"};
  RunOptions run;
  std::int64_t prompt_len = 512;
  std::int64_t gen_len = 32;
  std::int64_t cut_gen_len = 0;  // 0: not cut
  std::string debug_mode;        // "", fewer_batch, breakdown
  std::string log_file = "auto";
  bool no_log = false;
  int verbose = 2;
  std::int64_t world_size = 0;  // 0: whatever MPI says
  std::string json, trace;
  std::string machine;  // whose rates give the floors; empty: none
  bool validate_projection = false;
  bool verify = false;
  std::vector<std::string> idle_flags;  // given, accepted, and without anything to do
};

struct PlanOptions {
  ModelOptions model;
  RunOptions run;                     // policy; budgets; threads and links between ranks
  std::string machine;                // a file of `optpipe probe --json`, or a known machine's name
  int ranks = 1, ranks_per_node = 0;  // 0: as many as the machine has devices
  std::int64_t prompt_tokens = 512, new_tokens = 32;
  std::int64_t prompts = 0;  // 0: as many as are in flight
  bool search = false;
  std::vector<std::string> compression;  // formats that the search may use besides the model's own
  double search_s = 20;
  std::string json;
};

struct QuantizeOptions {
  ModelOptions model;
  StorageFormat format = StorageFormat::q4;
  std::string output;  // folder
};

struct Options {
  Verbosity verbosity = Verbosity::normal;
  std::optional<GenerateOptions> generate;
  std::optional<QuantizeOptions> quantize;
  std::optional<ProbeOptions> probe;
  std::optional<BenchOptions> bench;
  std::optional<PlanOptions> plan;
};

// Parses the command line. Throws UsageError for what is wrong in it; `printed` is set where the user asked
// for --help or --version, whose text it is: `version` tells that of --version.
struct Parsed {
  Options options;
  std::optional<std::string> printed;
};
Parsed parse_command_line(int argc, const char* const* argv, std::function<std::string()> version = {});

}  // namespace optpipe::cli
