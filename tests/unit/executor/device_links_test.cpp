#include "optpipe/executor/device_links.hpp"

#include <gmock/gmock.h>

#include <thread>

#include "optpipe/base/error.hpp"
#include "optpipe/comm/in_process.hpp"
#include "optpipe/executor/pipeline.hpp"

namespace optpipe::executor {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const RankDevice kFirst{"alpha", "gpu-a", "0000:01:00.0", true},
    kSecond{"alpha", "gpu-b", "0000:02:00.0", true}, kThird{"beta", "gpu-c", "0000:01:00.0", true},
    kOnCpu{"beta", "", "", true}, kWithout{"beta", "gpu-d", "0000:03:00.0", false};

std::string refusal(const std::vector<RankDevice>& ranks) {
  try {
    choose_nccl(ranks, CommDevice::gpu);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "none";
}

TEST(ChooseNccl, TakesItWhereEveryRankHasAGpuOfItsOwn) {
  EXPECT_TRUE(choose_nccl({kFirst, kSecond, kThird}, CommDevice::automatic));
  EXPECT_TRUE(choose_nccl({kFirst, kSecond, kThird}, CommDevice::gpu));
  EXPECT_FALSE(choose_nccl({kFirst, kSecond, kThird}, CommDevice::cpu));
  EXPECT_FALSE(choose_nccl({kFirst}, CommDevice::gpu)) << "one rank has nobody to talk to";
}

TEST(ChooseNccl, GoesThroughTheHostWhereItIsNotPossible) {
  for (const auto& ranks : std::vector<std::vector<RankDevice>>{
           {kFirst, kFirst}, {kFirst, kSecond, kFirst}, {kFirst, kOnCpu}, {kFirst, kWithout}})
    EXPECT_FALSE(choose_nccl(ranks, CommDevice::automatic));
}

TEST(ChooseNccl, SaysWhyItCannotBeHad) {
  EXPECT_THAT(refusal({kFirst, kSecond, kFirst}),
              AllOf(HasSubstr("ranks 0 and 2 on alpha share the GPU 0000:01:00.0"), HasSubstr("--gpu-map"),
                    HasSubstr("--comm-device cpu")));
  EXPECT_THAT(refusal({kFirst, kOnCpu}), HasSubstr("rank 1 on beta computes on the CPU"));
  EXPECT_THAT(refusal({kFirst, kWithout}), HasSubstr("rank 1 on beta is built without NCCL"));
}

TEST(ConnectDevices, EveryRankEndsWhereOneCannot) {
  comm::InProcessWorld world(3);
  std::array<std::string, 3> messages;
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < 3; ++rank)
      threads.emplace_back([&, rank] {
        const auto transport = world.endpoint(Rank(rank));
        try {
          connect_devices(*transport, std::nullopt, CommDevice::gpu, comm::Seconds(5));
        } catch (const Error& error) {
          EXPECT_EQ(error.status(), ExitStatus::usage);
          messages[static_cast<std::size_t>(rank)] = error.what();
        }
      });
  }
  EXPECT_THAT(messages[0], HasSubstr("rank 0 on in-process computes on the CPU"));
  EXPECT_THAT(messages[1], HasSubstr("reported by another rank"));
  EXPECT_THAT(messages[2], HasSubstr("reported by another rank"));
}

TEST(ConnectDevices, CpuRanksGoThroughTheTransport) {
  comm::InProcessWorld world(2);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < 2; ++rank)
    threads.emplace_back([&, rank] {
      const auto transport = world.endpoint(Rank(rank));
      EXPECT_EQ(connect_devices(*transport, std::nullopt, CommDevice::automatic, comm::Seconds(5)), nullptr);
    });
}

}  // namespace
}  // namespace optpipe::executor
