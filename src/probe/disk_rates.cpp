#include "probe/disk_rates.hpp"

#include <chrono>
#include <cstring>

#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"

namespace optpipe::probe {

DiskRates disk_rates(const std::filesystem::path& directory, Bytes bytes) {
  constexpr Bytes kBlock = 64 * kMiB;
  bytes = round_up(bytes, kBlock);
  memory::HostPages pages;
  memory::Arena arena("a measurement of the disk", kBlock, pages);
  const auto memory = arena.take(kBlock);
  for (Bytes i = 0; i < kBlock; ++i) memory[i] = static_cast<std::byte>((i * 2654435761u) >> 13);
  memory::DiskFile file(directory, bytes);
  const auto rate = [&](auto transfer) {
    const auto begin = std::chrono::steady_clock::now();
    for (Bytes at = 0; at < bytes; at += kBlock) transfer(at);
    return static_cast<double>(bytes) /
           std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  DiskRates rates;
  rates.write = rate([&](Bytes at) { file.write(at, std::span<const std::byte>(memory)); });
  rates.read = rate([&](Bytes at) { file.read(at, memory); });
  return rates;
}

}  // namespace optpipe::probe
