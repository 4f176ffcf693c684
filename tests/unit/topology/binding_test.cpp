// Placements carried out on this machine, in child processes: binding changes a whole process.
#include "optpipe/topology/binding.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include "optpipe/topology/page_query.hpp"
#include "support/child.hpp"
#include "unit/topology/machine_xml.hpp"
#ifdef OPTPIPE_TEST_REFUSAL
#include "support/refusal.hpp"
#endif

namespace optpipe::topology {
namespace {

enum Outcome : int { kAsWanted = 0, kNoFilter, kWrongCpus, kWrongStatus, kWrongPlace, kWrongPolicy };

IndexSet cpus_of_this_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return IndexSet(cpus);
}

Binding bind_alone(Topology topology) {
  const auto placements = place_ranks(topology.machine(), {{topology.inherited_cpus(), ""}});
  return {std::move(topology), placements.at(0)};
}

std::span<std::byte> fresh_pages(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return {static_cast<std::byte*>(memory), memory == MAP_FAILED ? 0 : bytes};
}

void touch(std::span<std::byte> pages) {
  for (std::size_t i = 0; i < pages.size(); i += 4096) pages[i] = std::byte{1};
}

// The line of numa_maps for the mapping that begins at `address`.
std::string policy_at(const void* address) {
  std::ifstream maps("/proc/self/numa_maps");
  std::ostringstream wanted;
  wanted << std::hex << reinterpret_cast<std::uintptr_t>(address) << ' ';
  for (std::string line; std::getline(maps, line);)
    if (line.starts_with(wanted.str())) return line;
  return {};
}

int bind_pages() {
  Binding binding = bind_alone(Topology::live());
  binding.carry_out(Pinning::ranks);
  if (binding.status().memory != MemoryBinding::bound) return kNoFilter;  // refused right here
  const auto pages = fresh_pages(8 << 20);
  binding.place(pages);
  touch(pages);
  binding.verify(pages);
  const auto status = binding.status();
  if (status.placed != pages.size() || status.pages_seen == 0) return kWrongStatus;
  if (status.pages_at_home != status.pages_seen) return kWrongPlace;
  const std::string line = policy_at(pages.data());
  if (!line.empty() && line.find(status.preferred > 0 ? " prefer" : " bind:") == std::string::npos &&
      line.find(" interleave:") == std::string::npos)
    return kWrongPolicy;
  return kAsWanted;
}

TEST(Binding, PagesLieWhereTheyWereBound) {
  const int outcome = test::run_in_child(bind_pages);
  if (outcome == kNoFilter) GTEST_SKIP() << "this system refuses memory binding";
  EXPECT_EQ(outcome, kAsWanted);
}

bool is_one_a_core(const IndexSet& cpus, const Placement& placement) {
  return std::ranges::all_of(placement.cores,
                             [&](const IndexSet& core) { return (core & cpus).size() == 1; });
}

int pin_threads(Pinning pinning) {
  Binding binding = bind_alone(Topology::live());
  binding.carry_out(pinning);
  const Placement& placement = binding.placement();
  if (binding.status().cpu_error != 0 || cpus_of_this_thread() != placement.cpus()) return kWrongCpus;
  const int team = static_cast<int>(placement.cores.size());
  for (int index = 0; index < team; ++index) {
    int outcome = kAsWanted;
    std::thread([&] {
      const ComputeThread pinned(&binding, index, team);
      const IndexSet cpus = cpus_of_this_thread();
      const IndexSet& core = placement.cores[static_cast<std::size_t>(index)];
      if (pinning == Pinning::threads ? cpus != core : !is_one_a_core(cpus, placement)) outcome = kWrongCpus;
    }).join();
    if (outcome != kAsWanted) return outcome;
  }
  {  // a team of another size floats on the rank's cores
    const ComputeThread floating(&binding, 0, team + 1);
    if (cpus_of_this_thread() != placement.cpus()) return kWrongCpus;
  }
  { const ComputeThread pinned(&binding, 0, team); }
  return cpus_of_this_thread() == placement.cpus() ? kAsWanted : kWrongCpus;
}

TEST(Binding, ComputeThreadsStayOnTheRanksCores) {
  EXPECT_EQ(test::run_in_child([] { return pin_threads(Pinning::ranks); }), kAsWanted);
}
TEST(Binding, OrEachOnACoreOfItsOwn) {
  EXPECT_EQ(test::run_in_child([] { return pin_threads(Pinning::threads); }), kAsWanted);
}

TEST(Binding, AnotherMachinesTopologyBindsNothing) {
  Binding binding = bind_alone(test::make_machine(test::lab_machine()));
  const IndexSet before = cpus_of_this_thread();
  binding.carry_out(Pinning::ranks);
  EXPECT_FALSE(binding.is_carried_out());
  EXPECT_EQ(binding.status().memory, MemoryBinding::unbound);
  binding.pin_compute_thread(0, 24);
  EXPECT_EQ(cpus_of_this_thread(), before);
}

#ifdef OPTPIPE_TEST_REFUSAL
int bind_where_refused() {
  if (!test::refuse_what_containers_refuse()) return kNoFilter;
  Binding binding = bind_alone(Topology::live());
  binding.carry_out(Pinning::ranks);
  auto status = binding.status();
  if (status.memory != MemoryBinding::first_touch || status.memory_error != EPERM) return kWrongStatus;
  if (cpus_of_this_thread() != binding.placement().cpus()) return kWrongCpus;
  const auto pages = fresh_pages(1 << 20);
  binding.place(pages);
  touch(pages);
  binding.verify(pages);  // by numa_maps
  status = binding.status();
  if (status.pages_seen < 256) return kWrongStatus;
  return status.pages_at_home > 0 ? kAsWanted : kWrongPlace;
}

TEST(Binding, FirstTouchWhereTheKernelRefuses) {
  const int outcome = test::run_in_child(bind_where_refused);
  if (outcome == kNoFilter) GTEST_SKIP() << "this system lets no process install a seccomp filter";
  EXPECT_EQ(outcome, kAsWanted);
}
#endif

TEST(PageQuery, NumaMaps) {
  const std::string maps =
      "7f0000000000 default anon=1 dirty=1 N0=1 kernelpagesize_kB=4\n"
      "7f0000100000 bind:1 anon=600 dirty=600 N0=88 N1=512 kernelpagesize_kB=4\n"
      "7f0000400000 default file=/usr/lib/libc.so.6 mapped=3 N1=3 kernelpagesize_kB=4\n"
      "7f0000500000 default\n";
  EXPECT_EQ(read_numa_maps(maps, 0x7f0000100000, 600 * 4096), (PageCounts{{0, 88}, {1, 512}}));
  EXPECT_EQ(read_numa_maps(maps, 0x7f0000180000, 4096), (PageCounts{{0, 88}, {1, 512}}));  // inside
  EXPECT_EQ(read_numa_maps(maps, 0x7f0000100000, 0x400000), (PageCounts{{0, 88}, {1, 515}}));
  EXPECT_TRUE(read_numa_maps(maps, 0x7f0000500000, 4096).empty());
  EXPECT_TRUE(read_numa_maps("no such text\n\n", 0, 4096).empty());
}

TEST(PageQuery, UntouchedPagesAreNowhere) {
  const auto pages = fresh_pages(1 << 16);
  const auto counts = locate_pages(pages);
  if (!counts) GTEST_SKIP() << "this system does not say where pages are";
  for (const auto& [node, count] : *counts) EXPECT_EQ(count, 0u) << node;
  munmap(pages.data(), pages.size());
}

TEST(PageQuery, AvailableOnANode) {
  const auto available = available_on_node(Topology::live().machine().nodes[0].index);
  if (!available) GTEST_SKIP() << "this system does not show the memory of its nodes";
  EXPECT_GT(*available, 0u);
  EXPECT_FALSE(available_on_node(4000));
}

}  // namespace
}  // namespace optpipe::topology
