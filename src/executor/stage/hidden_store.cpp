#include "executor/stage/hidden_store.hpp"

#include <algorithm>

namespace optpipe::executor {
namespace {

using memory::aligned;

std::array<std::int64_t, 3> cut_by_shares(std::int64_t n, const memory::TierShares& shares) {
  const auto up_to = [&](double percent) {
    return std::min(n, static_cast<std::int64_t>(static_cast<double>(n) * percent / 100 + 0.5));
  };
  const auto device = up_to(shares.device),
             memory = shares.any_on_disk() ? up_to(shares.device + shares.host) : n;
  return {device, memory - device, n - memory};
}

}  // namespace

// One value more than the share, since shares of smaller batches may round up.
std::array<Bytes, 3> HiddenPlan::home_bytes() const {
  if (shares.all_on_device()) return {};
  const std::array percent{shares.device, shares.host, shares.disk()};
  const auto values = cut_by_shares(elements, shares);
  std::array<Bytes, 3> bytes{};
  for (std::size_t tier = 0; tier < 3; ++tier)
    bytes[tier] = percent[tier] > 0 ? aligned(bytes_of(values[tier] + 1)) : 0;
  bytes[2] = memory::disk_aligned(bytes[2]);
  return bytes;
}

HiddenStore::HiddenStore(const HiddenPlan& plan, memory::DiskFile& disk, const TierMemory& memory)
    : plan_(plan),
      disk_(disk),
      device_("hidden states on the device",
              static_cast<Bytes>(plan.work_buffers) * aligned(plan.bytes_of(plan.elements)) +
                  static_cast<Bytes>(plan.gpu_batches) * plan.home_bytes()[0],
              memory.device),
      host_("hidden states on the host",
            static_cast<Bytes>(plan.gpu_batches) * plan.home_bytes()[1] +
                2 * static_cast<Bytes>(plan.stages) * plan.home_bytes()[2],
            memory.host) {
  const auto home = plan.home_bytes();
  for (int i = 0; i < plan.work_buffers; ++i) work_.push_back(device_.take(plan.bytes_of(plan.elements)));
  for (int i = 0; i < plan.stages; ++i) {  // first: whole pages each, from the page on which the arena begins
    stages_.push_back(host_.take(home[2]));
    write_stages_.push_back(host_.take(home[2]));
  }
  for (std::int64_t k = 0; k < plan.gpu_batches; ++k) {
    device_home_.push_back(device_.take(home[0]));
    host_home_.push_back(host_.take(home[1]));
    disk_home_.push_back(disk.take(home[2]));
  }
}

std::array<std::int64_t, 3> HiddenStore::cut(std::int64_t n) const { return cut_by_shares(n, plan_.shares); }

void HiddenStore::read(std::size_t gpu_batch, std::int64_t n, std::int32_t stage) {
  disk_.read(disk_home_[gpu_batch],
             stages_[static_cast<std::size_t>(stage)].first(plan_.bytes_of(cut(n)[2])));
}

void HiddenStore::load(std::size_t gpu_batch, std::int64_t n, std::int32_t buffer, std::int32_t stage,
                       Copier& copier) {
  const auto values = cut(n);
  const Bytes device = plan_.bytes_of(values[0]), host = plan_.bytes_of(values[1]),
              disk = plan_.bytes_of(values[2]);
  std::byte* to = work(buffer);
  if (device > 0) copier.copy(to, device_home_[gpu_batch].data(), device);
  if (host > 0) copier.copy(to + device, host_home_[gpu_batch].data(), host);
  if (disk > 0) copier.copy(to + device + host, stages_[static_cast<std::size_t>(stage)].data(), disk);
}

void HiddenStore::store(std::size_t gpu_batch, std::int64_t n, std::int32_t buffer, std::int32_t stage,
                        Copier& copier) {
  const auto values = cut(n);
  const Bytes device = plan_.bytes_of(values[0]), host = plan_.bytes_of(values[1]),
              disk = plan_.bytes_of(values[2]);
  const std::byte* from = work(buffer);
  if (device > 0) copier.copy(device_home_[gpu_batch].data(), from, device);
  if (host > 0) copier.copy(host_home_[gpu_batch].data(), from + device, host);
  if (disk > 0)
    copier.copy(write_stages_[static_cast<std::size_t>(stage)].data(), from + device + host, disk);
}

void HiddenStore::write(std::size_t gpu_batch, std::int64_t n, std::int32_t stage) {
  disk_.write(disk_home_[gpu_batch],
              write_stages_[static_cast<std::size_t>(stage)].first(plan_.bytes_of(cut(n)[2])));
}

}  // namespace optpipe::executor
