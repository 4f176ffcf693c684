// A GPU that fails: one message says where, all ranks end soon, and nothing stays behind. cuda_fault.cu makes
// the faults, real ones and answers of CUDA that pretend one.
#include <algorithm>

#include "cli/running.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GpuFault : public ::testing::Test {
 protected:
  void SetUp() override {
    if (executor::cuda_devices() == 0)
      GTEST_SKIP() << "needs a GPU: run bash tests/run.sh --gpu where there is one";
    std::string lines;
    for (int i = 0; i < 20000; ++i) lines += "{\"prompt\":\"Madrid\"}\n";
    write_file(input_, lines);
  }

  Launch launch(const std::string& fault, int ranks = 1) const {
    return {.ranks = ranks,
            .environment = {"CUDA_VISIBLE_DEVICES=0", "OPTPIPE_TEST_FAULT=" + fault},
            .wrapper = {"env", "LD_PRELOAD=" OPTPIPE_CUDA_FAULT}};
  }
  // Weights that move and several GPU batches, so that every queue has work.
  Words words() const {
    return generate({"--input", input_, "--output", output_, "--ignore-eos", "--gpu-batch-size", "4",
                     "--num-gpu-batches", "2", "--device", "cuda"}) +
           percent("50 50 50 50 100 0");
  }

  const Folder folder_;
  const std::string input_ = folder_ / "in.jsonl", output_ = folder_ / "out.jsonl";
};

// Lines about calls that failed.
std::ptrdiff_t failures(const std::string& err) {
  return std::ranges::count_if(log_lines(err),
                               [](const auto& line) { return line.find("failed") != line.npos; });
}

// One error with all its parts, and no other line about a call that failed: what follows is the consequence.
void expect_one_message(const Finished& finished, const Words& parts) {
  ASSERT_EQ(error_lines(finished.err).size(), 1u) << finished.err;
  for (const auto& part : parts) EXPECT_THAT(error_lines(finished.err)[0], HasSubstr(part));
  EXPECT_EQ(failures(finished.err), 1) << finished.err;
}

const Words kPlace{" on GPU 0: ", "dmesg", "this is the stage of layers ", "token step "};

TEST_F(GpuFault, RealOnesEndOneRankWithOneMessage) {
  for (const std::string fault :
       {"0 cudaEventRecord 2000 address", "0 cudaEventRecord 2000 trap", "0 cudaMemcpyAsync 1000 address"}) {
    const auto finished = run_optpipe(words(), launch(fault));
    EXPECT_EQ(finished.status, 1) << fault << finished.err;
    expect_one_message(finished, kPlace);
    std::filesystem::remove(output_ + ".journal");
  }
}

TEST_F(GpuFault, ARealOneEndsTheOtherRanks) {
  for (const std::string rank : {"0", "1"}) {
    Running run(words() + Words{"--comm-device", "cpu", "--gpu-map", "0,0"},
                launch(rank + " cudaEventRecord 2000 address", 2), folder_.path());
    const auto finished = run.wait();
    EXPECT_EQ(finished.status, 1) << finished.err;
    expect_one_message(finished, kPlace + Words{"error: rank " + rank + " on "});
    EXPECT_THAT(run.left_behind(), IsEmpty());
    EXPECT_FALSE(std::filesystem::exists(output_));
    std::filesystem::remove(output_ + ".journal");
  }
}

// In whichever thread CUDA reports it first.
TEST_F(GpuFault, EveryCallThatReportsOneIsHeard) {
  for (const std::string call : {"cudaMemcpyAsync", "cudaEventRecord", "cudaEventSynchronize",
                                 "cudaStreamWaitEvent", "cudaGetLastError", "cudaStreamSynchronize"}) {
    const std::string number = call == "cudaStreamSynchronize" ? "12" : "1000";
    const auto finished = run_optpipe(words(), launch("0 " + call + " " + number + " 700"));
    EXPECT_EQ(finished.status, 1) << call << finished.err;
    expect_one_message(finished, {"illegal memory access", "stage of layers "});
    std::filesystem::remove(output_ + ".journal");
  }
}

TEST_F(GpuFault, WhereTheStageIsMadeReady) {
  const auto refused = run_optpipe(words(), launch("0 cudaHostRegister 2 719"));
  EXPECT_EQ(refused.status, 1) << refused.err;
  expect_one_message(refused,
                     {"cudaHostRegister failed on GPU 0", "while the stage of layers 0-7 was made ready"});
  const auto full = run_optpipe(words(), launch("0 cudaMalloc 2 once:2"));
  EXPECT_EQ(full.status, 3) << full.err;
  ASSERT_EQ(error_lines(full.err).size(), 1u) << full.err;
  EXPECT_THAT(error_lines(full.err)[0], HasSubstr("do not fit on the GPU"));
  EXPECT_EQ(failures(full.err), 0) << full.err;
}

// Results are complete by then.
TEST_F(GpuFault, AtTheEndItIsAWarning) {
  write_file(input_, "{\"prompt\":\"Madrid\"}\n");
  const auto finished = run_optpipe(words(), launch("0 cudaFree 2 700"));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(error_lines(finished.err), IsEmpty());
  EXPECT_EQ(failures(finished.err), 1) << finished.err;
  EXPECT_TRUE(std::filesystem::exists(output_));
}

}  // namespace
}  // namespace optpipe::test
