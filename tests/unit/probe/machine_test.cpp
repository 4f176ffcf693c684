// What a node's machine is made of: the rates of its ranks.
#include <gmock/gmock.h>

#include "optpipe/probe/probe.hpp"

namespace optpipe::probe {
namespace {

RankRates rank(const char* host, int local_rank) {
  RankRates rates;
  rates.host = host;
  rates.local_rank = local_rank;
  rates.local_size = 2;
  rates.device.name = "GPU";
  rates.device.is_gpu = true;
  rates.copy_in = 55e9;
  rates.all_in = 40e9;
  rates.read = 60e9;
  rates.attention_4bit = 45e9;
  rates.read_beside_copies = 50e9;
  rates.copies_beside_read = 30e9;
  rates.disk_read = 1e9;
  rates.next.host = {2e-6, 5e9};
  return rates;
}

TEST(ProbedMachine, RanksOfANodeAddUp) {
  const auto machine = to_machine({rank("a", 0), rank("a", 1), rank("b", 0), rank("b", 1)}, 32, 64 * kGiB);
  EXPECT_EQ(machine.devices, 2);
  EXPECT_EQ(machine.cores, 32);
  EXPECT_EQ(machine.copies.in, 55e9);
  EXPECT_EQ(machine.copies.all_in, 80e9);
  EXPECT_EQ(machine.host_memory.cores_bytes_s, 120e9);
  EXPECT_EQ(machine.host_memory.total_bytes_s, 2 * (50e9 + 30e9));
  EXPECT_EQ(machine.host_memory.attention_bytes_s(StorageFormat::q4), 90e9);
  EXPECT_EQ(machine.disk.read_bytes_s, 2e9);
}

// A copy within host memory reads and writes it.
TEST(ProbedMachine, CopiesOfCpuRanksTouchMemoryTwice) {
  auto only = rank("a", 0);
  only.device.is_gpu = false;
  EXPECT_EQ(to_machine({only}, 2, kGiB).host_memory.total_bytes_s, 50e9 + 2 * 30e9);
}

TEST(ProbedMachine, TheSlowestLinkOfItsKindCounts) {
  std::vector<RankRates> ranks{rank("a", 0), rank("a", 1), rank("b", 0), rank("b", 1)};
  ranks[0].next.host = {1e-6, 8e9};
  ranks[1].next.host = {9e-6, 1e9};  // from node to node
  ranks[2].next.host = {3e-6, 6e9};
  ranks[3].next.host = {};  // there is no next rank
  ranks[0].next.device = {5e-6, 300e9};
  const auto machine = to_machine(ranks, 32, kGiB);
  EXPECT_EQ(machine.host_link.latency_s, 3e-6);
  EXPECT_EQ(machine.host_link.bytes_s, 6e9);
  EXPECT_EQ(machine.network.latency_s, 9e-6);
  EXPECT_EQ(machine.network.bytes_s, 1e9);
  EXPECT_EQ(machine.device_link.bytes_s, 300e9);
}

}  // namespace
}  // namespace optpipe::probe
