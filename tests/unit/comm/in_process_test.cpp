#include "optpipe/comm/in_process.hpp"

#include <gmock/gmock.h>

#include <mutex>

#include "unit/comm/conformance.hpp"

namespace optpipe::comm {
namespace {

// Runs `action` on every rank, each on its own thread; returns what they threw.
std::vector<std::string> on_all_ranks(int ranks, Seconds timeout,
                                      const std::function<void(Transport&)>& action) {
  InProcessWorld world(ranks, timeout);
  std::vector<std::string> failures(static_cast<std::size_t>(ranks));
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        const auto transport = world.endpoint(Rank(rank));
        try {
          action(*transport);
        } catch (const std::exception& error) {
          failures[static_cast<std::size_t>(rank)] = error.what();
        }
      });
    }
  }
  return failures;
}

class InProcessConformance : public ::testing::TestWithParam<int> {};

TEST_P(InProcessConformance, Passes) {
  for (const auto& check : conformance::kChecks)
    EXPECT_THAT(on_all_ranks(GetParam(), Seconds(30), check.run), testing::Each("")) << check.name;
}

INSTANTIATE_TEST_SUITE_P(Ranks, InProcessConformance, ::testing::Values(2, 3, 5));

TEST(InProcess, WaitsEndWithTheTimeout) {
  const auto failures = on_all_ranks(2, Seconds(0.05), [](Transport& t) {
    std::vector<std::byte> buffer(1);
    if (t.rank().value == 0) t.recv(Rank(1), Channel::hidden, buffer);
  });
  EXPECT_THAT(failures[0], testing::HasSubstr("waited"));
}

TEST(InProcess, AFailureEndsAllWaits) {
  const auto failures = on_all_ranks(3, Seconds(30), [](Transport& t) {
    std::vector<std::byte> buffer(1);
    if (t.rank().value == 2)
      t.abort(ExitStatus::failure, "the disk is full");
    else
      t.recv(Rank(2), Channel::hidden, buffer);
  });
  EXPECT_THAT(failures[0], testing::HasSubstr("rank 2 failed: the disk is full"));
  EXPECT_THAT(failures[1], testing::HasSubstr("rank 2 failed: the disk is full"));
}

TEST(InProcess, ALongerMessageIsNoOverrun) {
  const auto failures = on_all_ranks(2, Seconds(30), [](Transport& t) {
    std::vector<std::byte> buffer(10);
    if (t.rank().value == 1)
      t.send(Rank(0), Channel::hidden, conformance::pattern(11, 0));
    else
      t.recv(Rank(1), Channel::hidden, buffer);
  });
  EXPECT_THAT(failures[0], testing::HasSubstr("11 bytes"));
}

}  // namespace
}  // namespace optpipe::comm
