#include "optpipe/executor/device_links.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "optpipe/executor/pipeline.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::executor {
namespace {

// UUIDs are bytes, not text.
std::string to_hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

std::vector<std::byte> encode(const RankDevice& rank) {
  const std::string text =
      nlohmann::json({{"host", rank.host}, {"gpu", rank.gpu}, {"bus", rank.pci_bus}, {"nccl", rank.has_nccl}})
          .dump();
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

RankDevice decode(const std::vector<std::byte>& data) {
  const auto json = nlohmann::json::parse(reinterpret_cast<const char*>(data.data()),
                                          reinterpret_cast<const char*>(data.data()) + data.size());
  return {json.at("host"), json.at("gpu"), json.at("bus"), json.at("nccl")};
}

std::string why_not(const std::vector<RankDevice>& ranks) {
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const RankDevice& rank = ranks[i];
    if (rank.gpu.empty()) return fmt::format("rank {} on {} computes on the CPU", i, rank.host);
    if (!rank.has_nccl)
      return fmt::format("the program of rank {} on {} is built without NCCL", i, rank.host);
    const auto twin = std::find_if(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(i),
                                   [&](const RankDevice& other) { return other.gpu == rank.gpu; });
    if (twin != ranks.begin() + static_cast<std::ptrdiff_t>(i))
      return fmt::format(
          "ranks {} and {} on {} share the GPU {}, and NCCL takes one rank a GPU (give each rank its own: "
          "fewer ranks, or --gpu-map)",
          twin - ranks.begin(), i, rank.host, rank.pci_bus);
  }
  return {};
}

}  // namespace

bool choose_nccl(const std::vector<RankDevice>& ranks, CommDevice wanted) {
  if (wanted == CommDevice::cpu || ranks.size() < 2) return false;
  const std::string obstacle = why_not(ranks);
  if (obstacle.empty()) return true;
  if (wanted == CommDevice::gpu)
    throw UsageError(fmt::format("--comm-device gpu: {}; or use --comm-device cpu", obstacle));
  return false;
}

bool decide_nccl(comm::Transport& transport, std::optional<int> gpu, CommDevice wanted) {
  if (transport.size() < 2) return false;
  RankDevice own{transport.node().host, {}, {}, comm::built_with_nccl()};
  agree(transport, [&] {
    if (!gpu) return;
    const GpuName name = gpu_name(*gpu);
    own.gpu = to_hex(name.uuid);
    own.pci_bus = name.pci_bus;
  });
  const auto gathered = transport.gather(encode(own), Rank(0));
  bool nccl = false;
  agree(transport, [&] {
    std::vector<RankDevice> ranks;
    for (const auto& data : gathered) ranks.push_back(decode(data));
    if (transport.is_first()) nccl = choose_nccl(ranks, wanted);
  });
  const auto verdict = transport.broadcast({static_cast<std::byte>(nccl)}, Rank(0));
  return verdict.at(0) != std::byte{0};
}

std::shared_ptr<comm::DeviceLink> connect_devices(comm::Transport& transport, std::optional<int> gpu,
                                                  CommDevice wanted, comm::Seconds timeout, bool ring) {
  if (!decide_nccl(transport, gpu, wanted)) return nullptr;
  use_gpu(*gpu);
  return comm::connect_nccl(transport, timeout, ring);
}

}  // namespace optpipe::executor
