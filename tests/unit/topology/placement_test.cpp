// Which cores and nodes ranks get, on machines of all kinds.
#include "optpipe/topology/placement.hpp"

#include <gmock/gmock.h>

#include "unit/topology/machine_xml.hpp"

namespace optpipe::topology {
namespace {

using test::eight_gpus;
using test::lab_machine;
using test::make_machine;
using testing::ElementsAre;

using Texts = std::vector<std::string>;

Texts cpus_of(const std::vector<Placement>& placements) {
  Texts texts;
  for (const auto& placement : placements) texts.push_back(placement.cpus().to_string());
  return texts;
}
Texts nodes_of(const std::vector<Placement>& placements) {
  Texts texts;
  for (const auto& placement : placements) texts.push_back(placement.nodes.to_string());
  return texts;
}
std::vector<int> threads_of(const std::vector<Placement>& placements) {
  std::vector<int> threads;
  for (const auto& placement : placements) threads.push_back(placement.threads);
  return threads;
}
bool are_disjoint(const std::vector<Placement>& placements) {
  IndexSet seen;
  for (const auto& placement : placements) {
    if (seen.overlaps(placement.cpus())) return false;
    seen |= placement.cpus();
  }
  return true;
}

// Ranks with these GPUs, whose launcher left them `cpus`.
std::vector<RankSeat> ranks_on(const Texts& gpus, const std::string& cpus = "") {
  std::vector<RankSeat> ranks;
  for (const auto& gpu : gpus) ranks.push_back({IndexSet::parse(cpus), gpu});
  return ranks;
}
Texts all_gpus(const test::MachineShape& shape) {
  Texts gpus;
  for (const auto& node : shape.gpus) gpus.insert(gpus.end(), node.begin(), node.end());
  return gpus;
}
Texts none(std::size_t ranks) { return Texts(ranks); }

TEST(Placement, FourGpusOverTwoNodes) {
  const auto placements =
      place_ranks(make_machine(lab_machine()).machine(), ranks_on(all_gpus(lab_machine())));
  EXPECT_EQ(cpus_of(placements), (Texts{"0-5,24-29", "6-11,30-35", "12-17,36-41", "18-23,42-47"}));
  EXPECT_EQ(nodes_of(placements), (Texts{"0", "0", "1", "1"}));
  EXPECT_THAT(threads_of(placements), ElementsAre(6, 6, 6, 6));
  for (const auto& placement : placements) {
    EXPECT_TRUE(placement.near_gpu);
    EXPECT_FALSE(placement.shared);
    EXPECT_EQ(placement.node_ranks, 2);
    EXPECT_EQ(placement.cores[0].size(), 2u);  // both threads of a core belong to one rank
  }
}

TEST(Placement, TheGpuCountsAndNotTheRanksNumber) {
  const auto placements = place_ranks(make_machine(lab_machine()).machine(),
                                      ranks_on({"0000:83:00.0", "0000:02:00.0", "0000:82:00.0"}));
  EXPECT_EQ(cpus_of(placements), (Texts{"12-17,36-41", "0-11,24-35", "18-23,42-47"}));
  EXPECT_EQ(nodes_of(placements), (Texts{"1", "0", "1"}));
}

TEST(Placement, EightGpusOverFourDomains) {
  const auto placements = place_ranks(make_machine(eight_gpus()).machine(), ranks_on(all_gpus(eight_gpus())));
  EXPECT_EQ(cpus_of(placements),
            (Texts{"0-7", "8-15", "16-23", "24-31", "32-39", "40-47", "48-55", "56-63"}));
  EXPECT_EQ(nodes_of(placements), (Texts{"0", "0", "1", "1", "2", "2", "3", "3"}));
}

TEST(Placement, OneRankTakesTheNodeOfItsGpu) {
  const auto placements = place_ranks(make_machine(lab_machine()).machine(), ranks_on({"0000:82:00.0"}));
  EXPECT_EQ(cpus_of(placements), (Texts{"12-23,36-47"}));
  EXPECT_EQ(placements[0].threads, 12);
}

TEST(Placement, GpusOfUnknownPlaceSpread) {
  auto shape = lab_machine();
  shape.gpus = {{}, {}, {"0000:02:00.0", "0000:03:00.0"}};
  for (const auto& gpus : {shape.gpus[2], Texts{"0000:99:00.0", "0000:9a:00.0"}}) {
    const auto placements = place_ranks(make_machine(shape).machine(), ranks_on(gpus));
    EXPECT_EQ(nodes_of(placements), (Texts{"0", "1"}));
    EXPECT_EQ(cpus_of(placements), (Texts{"0-11,24-35", "12-23,36-47"}));
    EXPECT_TRUE(placements[0].near_gpu);  // as far as anybody knows
  }
}

TEST(Placement, RanksWithoutGpuSpreadEvenlyAndInOrder) {
  const auto machine = make_machine(lab_machine()).machine();
  EXPECT_EQ(nodes_of(place_ranks(machine, ranks_on(none(4)))), (Texts{"0", "0", "1", "1"}));
  const auto five = place_ranks(machine, ranks_on(none(5)));
  EXPECT_EQ(nodes_of(five), (Texts{"0", "0", "0", "1", "1"}));
  EXPECT_THAT(threads_of(five), ElementsAre(4, 4, 4, 6, 6));
  EXPECT_TRUE(are_disjoint(five));
}

TEST(Placement, FewerRanksThanNodesTakeSeveral) {
  const auto alone = place_ranks(make_machine(lab_machine()).machine(), ranks_on(none(1)));
  EXPECT_EQ(nodes_of(alone), (Texts{"0-1"}));
  EXPECT_EQ(alone[0].threads, 24);
  const auto three = place_ranks(make_machine(eight_gpus()).machine(), ranks_on(none(3)));
  EXPECT_EQ(nodes_of(three), (Texts{"0-1", "2", "3"}));
  EXPECT_THAT(threads_of(three), ElementsAre(32, 16, 16));
}

// mpirun --map-by ppr:4:node:pe=6 --bind-to core
TEST(Placement, WhatALauncherGaveToOneRankStays) {
  auto ranks = ranks_on(all_gpus(lab_machine()));
  ranks[0].cpus = IndexSet::parse("0-5,24-29");
  ranks[1].cpus = IndexSet::parse("6-11,30-35");
  ranks[2].cpus = IndexSet::parse("12-17,36-41");
  ranks[3].cpus = IndexSet::parse("18-20,42-44");
  const auto placements = place_ranks(make_machine(lab_machine()).machine(), ranks);
  EXPECT_EQ(cpus_of(placements), (Texts{"0-5,24-29", "6-11,30-35", "12-17,36-41", "18-20,42-44"}));
  EXPECT_THAT(threads_of(placements), ElementsAre(6, 6, 6, 3));
}

// The same with pe=12 on 24 cores, as in the lab: overload-allowed gives two ranks the same node each.
TEST(Placement, WhatALauncherGaveToTwoIsDivided) {
  auto ranks = ranks_on(all_gpus(lab_machine()));
  const IndexSet first = IndexSet::parse("0-11,24-35"), second = IndexSet::parse("12-23,36-47");
  ranks[0].cpus = ranks[2].cpus = first;
  ranks[1].cpus = ranks[3].cpus = second;
  const auto placements = place_ranks(make_machine(lab_machine()).machine(), ranks);
  EXPECT_EQ(cpus_of(placements), (Texts{"0-5,24-29", "12-17,36-41", "6-11,30-35", "18-23,42-47"}));
  // The launcher left ranks 1 and 2 no core beside their GPUs: memory follows the GPU, cores the launcher.
  EXPECT_EQ(nodes_of(placements), (Texts{"0", "0", "1", "1"}));
  EXPECT_TRUE(placements[0].near_gpu);
  EXPECT_FALSE(placements[1].near_gpu);
  EXPECT_FALSE(placements[2].near_gpu);
}

TEST(Placement, AnExclusiveSetOverTwoNodesStaysWhole) {
  auto ranks = ranks_on({"0000:02:00.0", "0000:03:00.0"}, "");
  ranks[0].cpus = IndexSet::parse("0-3,12-15");
  ranks[1].cpus = IndexSet::parse("4-11");
  const auto placements = place_ranks(make_machine(lab_machine()).machine(), ranks);
  EXPECT_EQ(cpus_of(placements), (Texts{"0-3,12-15", "4-11"}));
  EXPECT_EQ(nodes_of(placements), (Texts{"0", "0"}));  // beside the GPU, of both its nodes
}

TEST(Placement, ANarrowedSetIsDividedWithinItself) {
  const auto placements =
      place_ranks(make_machine(lab_machine()).machine(), ranks_on(all_gpus(lab_machine()), "4-7,16-19"));
  EXPECT_EQ(cpus_of(placements), (Texts{"4-5", "6-7", "16-17", "18-19"}));
  EXPECT_THAT(threads_of(placements), ElementsAre(2, 2, 2, 2));
}

TEST(Placement, CgroupsNarrowToo) {
  auto shape = lab_machine();
  shape.disallowed = IndexSet::parse("0-9,24-33");
  const auto placements = place_ranks(make_machine(shape).machine(), ranks_on(all_gpus(shape)));
  EXPECT_EQ(cpus_of(placements), (Texts{"10,34", "11,35", "12-17,36-41", "18-23,42-47"}));
}

TEST(Placement, OverlappingSetsAreDividedFairly) {
  auto ranks = ranks_on(none(2));
  ranks[0].cpus = IndexSet::parse("0-7");
  ranks[1].cpus = IndexSet::parse("4-11");
  const auto placements = place_ranks(make_machine(lab_machine()).machine(), ranks);
  EXPECT_EQ(cpus_of(placements), (Texts{"0-5", "6-11"}));
}

// Cores first, so that no two ranks meet on the threads of one.
TEST(Placement, TwoRanksOnTheThreadsOfTheSameCoresGetCoresOfTheirOwn) {
  const auto placements = place_ranks(make_machine(lab_machine()).machine(), ranks_on(none(2), "0-3,24-27"));
  EXPECT_EQ(cpus_of(placements), (Texts{"0-1,24-25", "2-3,26-27"}));
}

TEST(Placement, MoreRanksThanCoresGetHardwareThreads) {
  const auto placements = place_ranks(make_machine(lab_machine()).machine(), ranks_on(none(32)));
  EXPECT_TRUE(are_disjoint(placements));
  std::size_t cpus = 0;
  for (const auto& placement : placements) {
    EXPECT_FALSE(placement.shared);
    EXPECT_EQ(placement.threads, 1);
    EXPECT_EQ(placement.cores.size(), 1u);  // two threads, if a rank has two, are of one core
    cpus += placement.cpus().size();
  }
  EXPECT_EQ(cpus, 48u);
}

TEST(Placement, MoreRanksThanHardwareThreadsFloat) {
  const auto placements = place_ranks(make_machine({1, 1, 2, 1}).machine(), ranks_on(none(5)));
  for (const auto& placement : placements) {
    EXPECT_TRUE(placement.shared);
    EXPECT_EQ(placement.cpus().to_string(), "0-1");
    EXPECT_EQ(placement.threads, 1);
  }
}

TEST(Placement, OnlyTheCrowdedNodeFloats) {
  auto ranks = ranks_on(none(3), "0,24");
  ranks.push_back({IndexSet::parse("12-23"), ""});
  const auto placements = place_ranks(make_machine(lab_machine()).machine(), ranks);
  EXPECT_TRUE(placements[0].shared);
  EXPECT_EQ(placements[2].cpus().to_string(), "0,24");
  EXPECT_FALSE(placements[3].shared);
  EXPECT_EQ(placements[3].threads, 12);
}

TEST(Placement, RanksOnOneGpuShareItsNode) {
  const auto placements = place_ranks(make_machine(lab_machine()).machine(),
                                      ranks_on({"0000:02:00.0", "0000:02:00.0", "0000:02:00.0"}));
  EXPECT_EQ(nodes_of(placements), (Texts{"0", "0", "0"}));
  EXPECT_THAT(threads_of(placements), ElementsAre(4, 4, 4));
}

}  // namespace
}  // namespace optpipe::topology
