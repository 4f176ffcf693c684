#include "optpipe/executor/pipeline.hpp"

#include <gmock/gmock.h>

#include <thread>

#include "optpipe/comm/in_process.hpp"
#include "support/golden.hpp"
#include "support/pipeline.hpp"

namespace optpipe::executor {
namespace {

// What each rank's agree() ends with: its status and message.
std::vector<std::pair<ExitStatus, std::string>> agree_on(int ranks,
                                                         const std::function<void(int rank)>& action) {
  comm::InProcessWorld world(ranks);
  std::vector<std::pair<ExitStatus, std::string>> ends(static_cast<std::size_t>(ranks));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const auto transport = world.endpoint(Rank(rank));
      auto& end = ends[static_cast<std::size_t>(rank)];
      try {
        agree(*transport, [&] { action(rank); });
      } catch (const Reported& error) {
        end = {error.status(), "reported"};
      } catch (const Error& error) {
        end = {error.status(), error.what()};
      }
    });
  }
  threads.clear();
  return ends;
}

TEST(Agree, NothingHappensWhereAllSucceed) {
  for (const auto& [status, message] : agree_on(3, [](int) {}))
    EXPECT_EQ(status, ExitStatus::done) << message;
}

TEST(Agree, OneFailureEndsAllWithOneMessage) {
  const auto ends = agree_on(3, [](int rank) {
    if (rank == 1) throw InputError("shard 2 is missing");
  });
  EXPECT_EQ(ends[0].first, ExitStatus::bad_input);
  EXPECT_TRUE(ends[0].second.starts_with("rank 1 on ")) << ends[0].second;
  EXPECT_TRUE(ends[0].second.ends_with(": shard 2 is missing")) << ends[0].second;
  EXPECT_EQ(ends[1], std::pair(ExitStatus::bad_input, std::string("reported")));
  EXPECT_EQ(ends[2], std::pair(ExitStatus::bad_input, std::string("reported")));
}

TEST(Agree, TheFirstRanksMessageCounts) {
  const auto ends = agree_on(3, [](int rank) {
    if (rank > 0) throw CapacityError("no room");
    throw UsageError("bad flag");
  });
  EXPECT_EQ(ends[0], std::pair(ExitStatus::usage, std::string("bad flag")));
}

TEST(Pipeline, AFailureInTheMiddleEndsAllRanks) {
  const auto golden = test::load_golden("pre-ln");
  auto prompts = golden.prompts;
  prompts[3][0] = 1 << 20;  // outside the vocabulary: no user can get here, the command checks
  EXPECT_THROW(test::run_pipeline(golden.model, {.ranks = 3}, prompts, golden.new_tokens()), std::exception);
}

}  // namespace
}  // namespace optpipe::executor
