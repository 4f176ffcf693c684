// Works that share resources, against times worked out by hand.
#include "simulator/shared_work.hpp"

#include <gmock/gmock.h>

namespace optpipe::simulator {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

const std::vector<Resource> kResources{{"bus", 100}, {"memory", 150}};
constexpr int kBus = 0, kMemory = 1;

Cost cost(double seconds, std::initializer_list<Demand> demands) {
  Cost cost;
  cost.work_s = seconds;
  for (const Demand& demand : demands) cost.add(demand.resource, demand.units_s);
  return cost;
}

// All works begin at 0; [ticket] → when it ends.
std::vector<double> ends(const std::vector<Cost>& costs) {
  std::vector<double> used(kResources.size()), end(costs.size(), -1);
  SharedWork work(kResources, used);
  for (std::size_t i = 0; i < costs.size(); ++i) work.add(0, costs[i], static_cast<std::int64_t>(i));
  while (const auto next = work.next_end())
    for (const std::int64_t ticket : work.finish(*next)) end[static_cast<std::size_t>(ticket)] = *next;
  return end;
}

TEST(SharedWork, WhatFitsRunsAtFullSpeed) {
  EXPECT_THAT(ends({cost(2, {{kBus, 50}}), cost(3, {{kBus, 50}})}), ElementsAre(2, 3));
}

TEST(SharedWork, AnOverdrawnResourceSlowsItsUsersEvenly) {
  // Both want 100 of 100: half speed until the first, of 1 s, ends at 2; the other has 1 s of work left.
  EXPECT_THAT(ends({cost(1, {{kBus, 100}}), cost(2, {{kBus, 100}})}),
              ElementsAre(DoubleNear(2, 1e-9), DoubleNear(3, 1e-9)));
}

TEST(SharedWork, OneThatIsHeldUpLeavesTheRestToOthers) {
  // Two fill the bus at half speed and take 2 x 25 of the memory; the third goes at full speed.
  EXPECT_THAT(ends({cost(1, {{kBus, 100}, {kMemory, 50}}), cost(1, {{kBus, 100}, {kMemory, 50}}),
                    cost(1, {{kMemory, 100}})}),
              ElementsAre(DoubleNear(2, 1e-9), DoubleNear(2, 1e-9), DoubleNear(1, 1e-9)));
}

TEST(SharedWork, AWorkIsAsSlowAsItsScarcestResource) {
  // The bus gives each 2/3, the memory 150 / (2 x 100) = 3/4 of the speed wanted.
  EXPECT_THAT(ends({cost(2, {{kBus, 75}, {kMemory, 100}}), cost(2, {{kBus, 75}, {kMemory, 100}})}),
              ElementsAre(DoubleNear(3, 1e-9), DoubleNear(3, 1e-9)));
}

TEST(SharedWork, MoreThanTheWholeTakesLongerAlone) {
  EXPECT_THAT(ends({cost(1, {{kBus, 400}})}), ElementsAre(DoubleNear(4, 1e-9)));
}

TEST(SharedWork, UseIsCounted) {
  std::vector<double> used(kResources.size());
  SharedWork work(kResources, used);
  work.add(0, cost(1, {{kBus, 100}}), 0);
  work.add(1, cost(1, {{kBus, 100}, {kMemory, 30}}), 1);
  while (const auto next = work.next_end()) work.finish(*next);
  EXPECT_NEAR(used[kBus], 200, 1e-9);
  EXPECT_NEAR(used[kMemory], 30, 1e-9);
}

}  // namespace
}  // namespace optpipe::simulator
