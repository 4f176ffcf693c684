#include "optpipe/executor/bind_ranks.hpp"

#include <nlohmann/json.hpp>
#include <span>

#include "optpipe/executor/pipeline.hpp"
#include "optpipe/executor/stage.hpp"
#include "optpipe/kernels/cpu.hpp"

namespace optpipe::executor {
namespace {

using nlohmann::json;
using topology::IndexSet;

std::vector<std::byte> to_bytes(const json& value) {
  const std::string text = value.dump();
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}
json from_bytes(const std::vector<std::byte>& data) {
  const auto* text = reinterpret_cast<const char*>(data.data());
  return json::parse(text, text + data.size());
}

// What each rank tells the others.
struct Facts {
  std::string host;
  topology::RankSeat seat;
};

std::vector<Facts> share(comm::Transport& transport, const Facts& own) {
  const auto gathered = transport.gather(
      to_bytes({{"host", own.host}, {"cpus", own.seat.cpus.to_string()}, {"gpu", own.seat.gpu}}), Rank(0));
  json all = json::array();
  for (const auto& data : gathered) all.push_back(from_bytes(data));
  all = from_bytes(transport.broadcast(to_bytes(all), Rank(0)));
  std::vector<Facts> facts;
  for (const auto& rank : all)
    facts.push_back({rank.at("host"), {IndexSet::parse(rank.at("cpus").get<std::string>()), rank.at("gpu")}});
  return facts;
}

topology::Placement placement_among(const std::vector<Facts>& all, int rank,
                                    const topology::Machine& machine) {
  const auto own = static_cast<std::size_t>(rank);
  std::vector<topology::RankSeat> seats;
  std::size_t seat = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].host != all[own].host) continue;
    if (i == own) seat = seats.size();
    seats.push_back(all[i].seat);
  }
  return topology::place_ranks(machine, seats)[seat];
}

// A thread bound by the OpenMP runtime when the program was loaded (OMP_PROC_BIND) hides what its launcher
// allows.
IndexSet inherited_cpus(const topology::Topology& topology) {
  IndexSet cpus = topology.inherited_cpus();
  if (topology.is_this_machine()) cpus |= IndexSet(kernels::openmp_cpus()) & topology.machine().allowed_cpus;
  return cpus;
}

json encode(const RankBinding& rank) {
  std::vector<std::string> cores;
  for (const auto& core : rank.placement.cores) cores.push_back(core.to_string());
  const auto& status = rank.status;
  return {{"rank", rank.rank},
          {"host", rank.host},
          {"gpu", rank.gpu ? *rank.gpu : -1},
          {"bus", rank.pci_bus},
          {"host_nodes", rank.host_nodes},
          {"nodes", rank.placement.nodes.to_string()},
          {"cores", cores},
          {"shared", rank.placement.shared},
          {"near_gpu", rank.placement.near_gpu},
          {"threads", rank.threads},
          {"carried_out", rank.carried_out},
          {"status",
           {static_cast<int>(status.memory), status.cpu_error, status.memory_error, status.placed,
            status.preferred, status.pages_seen, status.pages_at_home}}};
}

RankBinding decode(const json& data) {
  RankBinding rank;
  rank.rank = data.at("rank");
  rank.host = data.at("host");
  if (data.at("gpu").get<int>() >= 0) rank.gpu = data.at("gpu").get<int>();
  rank.pci_bus = data.at("bus");
  rank.host_nodes = data.at("host_nodes");
  rank.placement.nodes = IndexSet::parse(data.at("nodes").get<std::string>());
  for (const auto& core : data.at("cores"))
    rank.placement.cores.push_back(IndexSet::parse(core.get<std::string>()));
  rank.placement.shared = data.at("shared");
  rank.placement.near_gpu = data.at("near_gpu");
  rank.threads = data.at("threads");
  rank.carried_out = data.at("carried_out");
  const auto& status = data.at("status");
  rank.status = {static_cast<topology::MemoryBinding>(status.at(0).get<int>()),
                 status.at(1),
                 status.at(2),
                 status.at(3),
                 status.at(4),
                 status.at(5),
                 status.at(6)};
  return rank;
}

}  // namespace

std::shared_ptr<topology::Binding> bind_rank(comm::Transport& transport, std::optional<int> gpu,
                                             BindMode mode) {
  std::optional<topology::Topology> topology;
  Facts own{transport.node().host, {}};
  agree(transport, [&] {
    topology = topology::Topology::live();
    own.seat.cpus = inherited_cpus(*topology);
    if (gpu) own.seat.gpu = topology::normalize_bus_id(gpu_name(*gpu).pci_bus);
  });
  const auto all = share(transport, own);
  std::shared_ptr<topology::Binding> binding;
  agree(transport, [&] {
    auto placement = placement_among(all, transport.rank().value, topology->machine());
    binding = std::make_shared<topology::Binding>(std::move(*topology), std::move(placement));
    if (mode == BindMode::none || mode == BindMode::report) return;
    binding->carry_out(mode == BindMode::threads ? topology::Pinning::threads : topology::Pinning::ranks);
    kernels::on_team_thread([binding](int thread, int team) { binding->pin_compute_thread(thread, team); });
  });
  return binding;
}

std::vector<RankBinding> gather_bindings(comm::Transport& transport, const topology::Binding& binding,
                                         std::optional<int> gpu, int threads) {
  RankBinding own{transport.rank().value,   transport.node().host, gpu, {}, 1, binding.placement(), threads,
                  binding.is_carried_out(), binding.status()};
  own.host_nodes = static_cast<int>(binding.topology().machine().nodes.size());
  if (gpu) own.pci_bus = topology::normalize_bus_id(gpu_name(*gpu).pci_bus);
  std::vector<RankBinding> ranks;
  for (const auto& data : transport.gather(to_bytes(encode(own)), Rank(0)))
    ranks.push_back(decode(from_bytes(data)));
  return ranks;
}

}  // namespace optpipe::executor
