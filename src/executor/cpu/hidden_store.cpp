#include "executor/cpu/hidden_store.hpp"

#include <algorithm>
#include <cstring>

namespace optpipe::executor {
namespace {

using memory::aligned;

constexpr Bytes bytes_of(std::int64_t values) { return static_cast<Bytes>(values) * sizeof(float); }

std::array<std::int64_t, 3> cut_by_shares(std::int64_t n, const memory::TierShares& shares) {
  const auto up_to = [&](double percent) {
    return std::min(n, static_cast<std::int64_t>(static_cast<double>(n) * percent / 100 + 0.5));
  };
  const auto device = up_to(shares.device),
             memory = shares.any_on_disk() ? up_to(shares.device + shares.host) : n;
  return {device, memory - device, n - memory};
}

void copy(void* to, const void* from, Bytes bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
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
  return bytes;
}

HiddenStore::HiddenStore(const HiddenPlan& plan, memory::DiskFile& disk, int threads)
    : plan_(plan),
      disk_(disk),
      device_("hidden states on the device",
              static_cast<Bytes>(plan.work_buffers) * aligned(bytes_of(plan.elements)) +
                  static_cast<Bytes>(plan.gpu_batches) * plan.home_bytes()[0],
              threads),
      host_("hidden states on the host",
            static_cast<Bytes>(plan.gpu_batches) * plan.home_bytes()[1] +
                2 * static_cast<Bytes>(plan.stages) * plan.home_bytes()[2],
            threads) {
  const auto home = plan.home_bytes();
  for (int i = 0; i < plan.work_buffers; ++i) work_.push_back(device_.take(bytes_of(plan.elements)));
  for (std::int64_t k = 0; k < plan.gpu_batches; ++k) {
    device_home_.push_back(device_.take(home[0]));
    host_home_.push_back(host_.take(home[1]));
    disk_home_.push_back(disk.take(home[2]));
  }
  for (int i = 0; i < plan.stages; ++i) {
    stages_.push_back(host_.take(home[2]));
    write_stages_.push_back(host_.take(home[2]));
  }
}

std::array<std::int64_t, 3> HiddenStore::cut(std::int64_t n) const { return cut_by_shares(n, plan_.shares); }

void HiddenStore::read(std::size_t gpu_batch, std::int64_t n, std::int32_t stage) {
  disk_.read(disk_home_[gpu_batch], stages_[static_cast<std::size_t>(stage)].first(bytes_of(cut(n)[2])));
}

void HiddenStore::load(std::size_t gpu_batch, std::int64_t n, std::int32_t buffer, std::int32_t stage) {
  const auto values = cut(n);
  float* to = work(buffer);
  copy(to, device_home_[gpu_batch].data(), bytes_of(values[0]));
  copy(to + values[0], host_home_[gpu_batch].data(), bytes_of(values[1]));
  if (values[2] > 0)
    copy(to + values[0] + values[1], stages_[static_cast<std::size_t>(stage)].data(), bytes_of(values[2]));
}

void HiddenStore::store(std::size_t gpu_batch, std::int64_t n, std::int32_t buffer, std::int32_t stage) {
  const auto values = cut(n);
  const float* from = work(buffer);
  copy(device_home_[gpu_batch].data(), from, bytes_of(values[0]));
  copy(host_home_[gpu_batch].data(), from + values[0], bytes_of(values[1]));
  if (values[2] > 0)
    copy(write_stages_[static_cast<std::size_t>(stage)].data(), from + values[0] + values[1],
         bytes_of(values[2]));
}

void HiddenStore::write(std::size_t gpu_batch, std::int64_t n, std::int32_t stage) {
  disk_.write(disk_home_[gpu_batch],
              write_stages_[static_cast<std::size_t>(stage)].first(bytes_of(cut(n)[2])));
}

}  // namespace optpipe::executor
