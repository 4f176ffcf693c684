// Hidden states from GPU to GPU.
#include <gmock/gmock.h>

#include <latch>
#include <thread>

#include "optpipe/base/error.hpp"
#include "optpipe/comm/in_process.hpp"
#include "optpipe/executor/device_links.hpp"
#include "support/golden.hpp"
#include "support/pipeline.hpp"

namespace optpipe::test {
namespace {

class Nccl : public ::testing::Test {
 protected:
  void SetUp() override {
    if (executor::cuda_devices() < 2 || !comm::built_with_nccl())
      GTEST_SKIP() << "needs two GPUs and NCCL: run bash tests/run.sh --gpu on a machine that has them";
  }
};

TEST_F(Nccl, ChangesNoToken) {
  for (const std::string& name : golden_names()) {
    const Golden golden = load_golden(name);
    const auto reference = run_pipeline(golden.model, {.ranks = 2, .gpu_batch_size = 2, .cuda = true},
                                        golden.prompts, golden.new_tokens());
    for (const std::int64_t micro_batches : {0, 3}) {
      const Setting setting{
          .ranks = 2, .gpu_batch_size = 2, .micro_batches = micro_batches, .cuda = true, .nccl = true};
      const auto output = run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens());
      EXPECT_EQ(output.tokens, reference.tokens) << name;
    }
  }
}

TEST_F(Nccl, CarriesPrefillInPieces) {
  for (const std::string& name : golden_names()) {
    const Golden golden = load_golden(name);
    for (const std::int64_t pieces : {2, 5}) {
      Setting setting{.ranks = 2, .gpu_batch_size = 5, .cuda = true, .prefill_pieces = pieces};
      const auto reference = run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens());
      setting.nccl = true;
      const auto output = run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens());
      EXPECT_EQ(output.tokens, reference.tokens) << name << ", " << pieces << " pieces";
    }
  }
}

TEST_F(Nccl, ASilentPeerEndsTheWait) {
  comm::InProcessWorld world(2);
  std::latch both(2);
  const auto run = [&](int rank) {
    const auto transport = world.endpoint(Rank(rank));
    std::shared_ptr<comm::DeviceLink> link;
    EXPECT_NO_THROW(
        link = executor::connect_devices(*transport, rank, executor::CommDevice::gpu, comm::Seconds(10)));
    if (link && rank == 1) {
      std::byte nothing{};  // never written: no message comes
      EXPECT_THROW(link->recv(&nothing, 1, nullptr), PeerError);
    }
    both.arrive_and_wait();  // rank 0 lives on, and sends nothing
  };
  std::jthread silent(run, 0);
  run(1);
}

}  // namespace
}  // namespace optpipe::test
