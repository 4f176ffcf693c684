#include "optpipe/comm/clock.hpp"

#include <gmock/gmock.h>

#include <thread>

#include "optpipe/comm/in_process.hpp"

namespace optpipe::comm {
namespace {

TEST(Clock, OffsetsAreFoundWithinTheirBounds) {
  constexpr int kRanks = 4;
  // Rank r's clock is this much ahead of rank 0's.
  const auto ahead = [](int rank) { return 1000.0 * rank + 0.125 * rank * rank; };
  InProcessWorld world(kRanks);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < kRanks; ++rank)
    threads.emplace_back([&, rank] {
      const auto transport = world.endpoint(Rank(rank));
      const ClockOffset found = measure_clock(*transport, [&] { return steady_seconds() + ahead(rank); });
      EXPECT_LT(found.error_s, 0.05) << "an in-process round trip";
      EXPECT_NEAR(found.offset_s, -ahead(rank), found.error_s + 1e-9);
      EXPECT_NEAR(found.at_s, steady_seconds() + ahead(rank), 1);
    });
}

TEST(Clock, DriftIsSpreadEvenly) {
  const ClockOffset begin{100, -40, 0}, end{200, -39, 0};  // runs one in a hundred too slow
  EXPECT_DOUBLE_EQ(to_first_rank(100, begin, end), 60);
  EXPECT_DOUBLE_EQ(to_first_rank(150, begin, end), 110.5);
  EXPECT_DOUBLE_EQ(to_first_rank(200, begin, end), 161);
  EXPECT_DOUBLE_EQ(to_first_rank(300, begin, end), 261);
  EXPECT_DOUBLE_EQ(to_first_rank(10, begin, end), -30);
  EXPECT_DOUBLE_EQ(to_first_rank(120, begin, begin), 80);  // measured once only
}

}  // namespace
}  // namespace optpipe::comm
