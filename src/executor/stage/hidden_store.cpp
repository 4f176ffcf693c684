#include "executor/stage/hidden_store.hpp"

namespace optpipe::executor {

HiddenStore::HiddenStore(const planner::HiddenPlan& plan, memory::DiskFile& disk, const TierMemory& memory)
    : plan_(plan),
      disk_(disk),
      device_("hidden states on the device", plan.all_work() + plan.all_homes()[0], memory.device),
      host_("hidden states on the host", plan.all_homes()[1] + plan.all_stages(), memory.host) {
  const auto home = plan.home_bytes();
  for (int i = 0; i < plan.work_buffers; ++i) work_.push_back(device_.take(plan.bytes_of(plan.elements)));
  for (int i = 0; i < plan.stages; ++i) {  // first: whole pages each, from the page on which the arena begins
    stages_.push_back(host_.take(home[2]));
    write_stages_.push_back(host_.take(home[2]));
  }
  for (std::int64_t k = 0; k < plan.homes; ++k) {
    device_home_.push_back(device_.take(home[0]));
    host_home_.push_back(host_.take(home[1]));
    disk_home_.push_back(disk.take(home[2]));
  }
}

void HiddenStore::read(std::int32_t home, std::int64_t n, std::int32_t stage) {
  const auto at = static_cast<std::size_t>(home);
  disk_.read(disk_home_[at], stages_[static_cast<std::size_t>(stage)].first(plan_.bytes_of(plan_.cut(n)[2])));
}

void HiddenStore::load(std::int32_t home, std::int64_t n, std::int32_t buffer, std::int32_t stage,
                       Copier& copier) {
  const auto at = static_cast<std::size_t>(home);
  const auto values = plan_.cut(n);
  const Bytes device = plan_.bytes_of(values[0]), host = plan_.bytes_of(values[1]),
              disk = plan_.bytes_of(values[2]);
  std::byte* to = work(buffer);
  if (device > 0) copier.copy(to, device_home_[at].data(), device);
  if (host > 0) copier.copy(to + device, host_home_[at].data(), host);
  if (disk > 0) copier.copy(to + device + host, stages_[static_cast<std::size_t>(stage)].data(), disk);
}

void HiddenStore::store(std::int32_t home, std::int64_t n, std::int32_t buffer, std::int32_t stage,
                        Copier& copier) {
  const auto at = static_cast<std::size_t>(home);
  const auto values = plan_.cut(n);
  const Bytes device = plan_.bytes_of(values[0]), host = plan_.bytes_of(values[1]),
              disk = plan_.bytes_of(values[2]);
  const std::byte* from = work(buffer);
  if (device > 0) copier.copy(device_home_[at].data(), from, device);
  if (host > 0) copier.copy(host_home_[at].data(), from + device, host);
  if (disk > 0)
    copier.copy(write_stages_[static_cast<std::size_t>(stage)].data(), from + device + host, disk);
}

void HiddenStore::write(std::int32_t home, std::int64_t n, std::int32_t stage) {
  const auto at = static_cast<std::size_t>(home);
  disk_.write(disk_home_[at],
              write_stages_[static_cast<std::size_t>(stage)].first(plan_.bytes_of(plan_.cut(n)[2])));
}

}  // namespace optpipe::executor
