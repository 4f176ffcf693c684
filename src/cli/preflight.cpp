#include "cli/preflight.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "optpipe/base/environment.hpp"
#include "optpipe/base/log.hpp"
#include "optpipe/executor/pipeline.hpp"
#include "optpipe/planner/refusal.hpp"
#include "optpipe/planner/widening.hpp"

namespace optpipe::cli {
namespace {

using planner::RankResources;

nlohmann::json to_json(const memory::Budget& budget) { return {budget.bytes, budget.source}; }
memory::Budget budget_from(const nlohmann::json& json) { return {json.at(0), json.at(1)}; }

std::vector<std::byte> encode(const RankResources& rank) {
  const std::string text = nlohmann::json({{"host", rank.host},
                                           {"backend", rank.backend},
                                           {"weights", rank.weights},
                                           {"threads", rank.threads},
                                           {"process", rank.process},
                                           {"host_memory", to_json(rank.host_memory)},
                                           {"gpu", rank.gpu},
                                           {"gpu_memory", to_json(rank.gpu_memory)},
                                           {"disk", to_json(rank.disk.left)},
                                           {"file_system", rank.disk.file_system},
                                           {"in_memory", rank.disk.in_memory}})
                               .dump();
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

RankResources decode(const std::vector<std::byte>& data) {
  const auto* text = reinterpret_cast<const char*>(data.data());
  const auto json = nlohmann::json::parse(text, text + data.size());
  RankResources rank;
  rank.host = json.at("host");
  rank.backend = json.at("backend");
  rank.weights = json.at("weights");
  rank.threads = json.at("threads");
  rank.process = json.at("process");
  rank.host_memory = budget_from(json.at("host_memory"));
  rank.gpu = json.at("gpu");
  rank.gpu_memory = budget_from(json.at("gpu_memory"));
  rank.disk = {budget_from(json.at("disk")), json.at("file_system"), json.at("in_memory")};
  return rank;
}

memory::Budget host_budget(const RunOptions& run) {
  if (run.budgets.host) return {*run.budgets.host, "--host-mem"};
  memory::Budget left = memory::host_memory_left();
  if (memory::host_memory_grows())
    left.source += "; this machine's memory can grow: say --host-mem SIZE where it will";
  return left;
}

bool uses_disk(const memory::Policy& policy) {
  return policy.weights.any_on_disk() || policy.kv.any_on_disk() || policy.hidden.any_on_disk();
}

// A folder that cannot be used is an error only where the policy asks for it; otherwise it is no way out.
memory::DiskSpace disk_budget(const RunOptions& run, const memory::Policy& policy) {
  memory::DiskSpace space;
  try {
    space = memory::disk_space_left(offload_directory(run));
  } catch (const InputError&) {
    if (uses_disk(policy)) throw;
  }
  if (run.budgets.disk) space.left = {*run.budgets.disk, "--disk-space"};
  return space;
}

RankResources own_resources(const Job& job, const RunOptions& run, const memory::Policy& policy,
                            const comm::Transport& transport) {
  RankResources own;
  own.host = transport.node().host;
  own.threads = job.threads;
  own.weights = executor::weight_dtype(
      job.config, job.slices[static_cast<std::size_t>(transport.rank().value)], *job.weights);
  own.process = memory::process_memory().now;
  own.host_memory = host_budget(run);
  own.disk = disk_budget(run, policy);
  if (!job.gpu) return own;
  own.backend = planner::Backend::cuda;
  own.gpu = executor::gpu_name(*job.gpu).pci_bus;
  // This process's context has taken its part of the memory already, and the ledger counts it.
  own.gpu_memory = {executor::gpu_memory_left(*job.gpu) + planner::runtime::kCudaContext, "cudaMemGetInfo"};
  if (run.budgets.gpu) own.gpu_memory = {*run.budgets.gpu, "--gpu-mem"};
  return own;
}

// Ledgers count the processes, which are there already: what they have counts as left.
void add_processes(std::vector<RankResources>& ranks) {
  std::map<std::string, Bytes> processes;
  for (const RankResources& rank : ranks) processes[rank.host] += rank.process;
  for (RankResources& rank : ranks) rank.host_memory.bytes += processes[rank.host];
}

std::vector<memory::Sequence> sequences_of(const std::vector<memory::Round>& rounds) {
  std::vector<memory::Sequence> sequences;
  for (const auto& round : rounds)
    for (const auto& micro_batch : round.micro_batches)
      for (const auto& batch : micro_batch) sequences.insert(sequences.end(), batch.begin(), batch.end());
  return sequences;
}

}  // namespace

std::string offload_directory(const RunOptions& run) {
  return run.offload_directory.empty() ? temporary_directory() : run.offload_directory;
}

std::vector<planner::Ledger> preflight(const Job& job, const RunOptions& run, memory::Policy& policy,
                                       const std::vector<memory::Round>& rounds, bool nccl,
                                       comm::Transport& transport) {
  RankResources own;
  executor::agree(transport, [&] { own = own_resources(job, run, policy, transport); });
  const auto gathered = transport.gather(encode(own), Rank(0));
  std::vector<planner::Ledger> ledgers;
  executor::agree(transport, [&] {
    if (!transport.is_first()) return;
    planner::RunRequest request{job.config, job.slices, {}, sequences_of(rounds), nccl};
    for (const auto& data : gathered) request.ranks.push_back(decode(data));
    if (!run.budgets.host) add_processes(request.ranks);
    policy = planner::settle_widening(request, policy);
    if (const auto widening = planner::describe_widening(request, policy); !widening.empty())
      log::info("{}", widening);
    ledgers = planner::plan_run(request, policy);
    const auto shortages = planner::find_shortages(request, ledgers);
    if (!shortages.empty()) throw CapacityError(planner::refusal(request, policy, shortages));
  });
  policy.keep_widened = transport.broadcast({std::byte{policy.keep_widened}}, Rank(0)).at(0) != std::byte{0};
  return ledgers;
}

}  // namespace optpipe::cli
