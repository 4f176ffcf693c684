#include "optpipe/comm/link_speed.hpp"

#include <gmock/gmock.h>

#include <thread>

#include "optpipe/comm/in_process.hpp"

namespace optpipe::comm {
namespace {

class LinkSpeedOf : public ::testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Ranks, LinkSpeedOf, ::testing::Values(1, 2, 3, 4, 5));

TEST_P(LinkSpeedOf, EveryPairOfNeighbours) {
  const int ranks = GetParam();
  InProcessWorld world(ranks);
  std::vector<LinkSpeed> links;
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks; ++rank)
      threads.emplace_back([&, rank] {
        const auto transport = world.endpoint(Rank(rank));
        auto found = measure_links(*transport, Seconds(0.01));
        if (rank == 0)
          links = std::move(found);
        else
          EXPECT_TRUE(found.empty());
      });
  }
  ASSERT_EQ(links.size(), static_cast<std::size_t>(ranks - 1));
  for (int rank = 0; rank + 1 < ranks; ++rank) {
    const auto& link = links[static_cast<std::size_t>(rank)];
    EXPECT_EQ(link.from, Rank(rank));
    EXPECT_EQ(link.to, Rank(rank + 1));
    EXPECT_FALSE(link.from_host.empty());
    EXPECT_GT(link.latency_s, 0);
    EXPECT_GT(link.bytes_per_s, 1e5) << "memory to memory";
    EXPECT_LT(link.bytes_per_s, 1e13);
  }
}

}  // namespace
}  // namespace optpipe::comm
