// Wrong command lines: status 2 and one line that names what is wrong.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

struct Wrong {
  const char* name;
  Words words;
  Words parts;  // of the message
};

void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.name; }

Words with_prompt(const Words& words) { return generate(Words{"--prompt", "x"} + words); }

class Usage : public ::testing::TestWithParam<Wrong> {};

TEST_P(Usage, IsRefused) { expect_refused(run_optpipe(GetParam().words), 2, GetParam().parts); }

INSTANTIATE_TEST_SUITE_P(
    Commands, Usage,
    ::testing::Values(Wrong{"None", {}, {"no command", "optpipe --help"}},
                      Wrong{"Unknown", {"frobnicate"}, {"frobnicate", "optpipe --help"}},
                      Wrong{"UnknownFlag", {"--bogus"}, {"--bogus"}},
                      Wrong{"UnknownFlagOfGenerate", {"generate", "--bogus"}, {"--bogus", "generate --help"}},
                      Wrong{"UnknownFlagAmongOthers", with_prompt({"--bogus", "1"}), {"--bogus"}}));

INSTANTIATE_TEST_SUITE_P(
    Inputs, Usage,
    ::testing::Values(Wrong{"NoModel", {"generate", "--prompt", "x"}, {"--model is missing"}},
                      Wrong{"NoPrompt", generate({}), {"nothing to generate from", "--prompt", "--input"}},
                      Wrong{"PromptAndInput", with_prompt({"--input", "x"}), {"--prompt excludes --input"}},
                      Wrong{"PromptWithoutText", generate({"--prompt"}), {"--prompt", "missing"}},
                      Wrong{"PromptBeforeAFlag",
                            generate({"--prompt", "--output", "x"}),
                            {"--prompt has no text before --output"}},
                      Wrong{"ModelTwice", with_prompt({"--model", "x"}), {"--model"}},
                      Wrong{"UnknownDummySize",
                            {"generate", "--model", "opt-1", "--path", "DUMMY", "--prompt", "x"},
                            {"opt-1", "opt-125m"}}));

INSTANTIATE_TEST_SUITE_P(
    Policies, Usage,
    ::testing::Values(
        Wrong{"FewPercents", with_prompt({"--percent", "1", "2"}), {"--percent", "6"}},
        Wrong{
            "PercentAbove100", with_prompt(percent("100 10 0 0 0 0")), {"--percent", "weights", "100", "10"}},
        Wrong{"PercentBelow0", with_prompt(percent("0 0 -1 0 0 0")), {"--percent", "KV", "-1"}},
        Wrong{"PercentNaN", with_prompt(percent("0 0 0 0 nan 0")), {"--percent", "activations", "nan"}},
        Wrong{"PercentText", with_prompt(percent("0 0 0 0 x 0")), {"--percent"}},
        Wrong{"StageLayersOfAnotherSum", with_prompt({"--stage-layers", "3"}), {"3", "8 layers"}},
        Wrong{"StageLayersOfMoreRanks", with_prompt({"--stage-layers", "4,4"}), {"--stage-layers names 2"}},
        Wrong{"StageLayersText", with_prompt({"--stage-layers", "a"}), {"--stage-layers"}},
        Wrong{"StageLayersNegative", with_prompt({"--stage-layers", "-8"}), {"-8"}},
        Wrong{"Overlap", with_prompt({"--overlap", "maybe"}), {"--overlap"}},
        Wrong{
            "BatchTooLarge", with_prompt({"--gpu-batch-size", "99999999999"}), {"--gpu-batch-size", "range"}},
        Wrong{"AttentionElsewhere",
              with_prompt({"--attention", "tpu"}),
              {"--attention", "tpu", "gpu,cpu,split,auto"}},
        Wrong{"AttentionTwice",
              with_prompt({"--attention", "gpu", "--cpu-cache-compute"}),
              {"--attention", "--cpu-cache-compute"}},
        Wrong{"ShareWithoutSplit",
              with_prompt({"--attention", "cpu", "--attention-share", "0.5"}),
              {"--attention-share goes with --attention split"}},
        Wrong{"ShareAbove1",
              with_prompt({"--attention", "split", "--attention-share", "1.5"}),
              {"--attention-share", "range"}},
        Wrong{"SparseAndCompressed",
              with_prompt({"--attn-sparsity", "0.5", "--compress-cache"}),
              {"--attn-sparsity", "quantized"}},
        Wrong{"XOnCores",
              with_prompt({"--kv-format", "x", "--cpu-cache-compute"}),
              {"--kv-format x", "--attention cpu", "use --attention gpu"}},
        Wrong{"XSplit",
              with_prompt({"--kv-format", "x", "--attention", "split"}),
              {"--kv-format x", "--attention split"}},
        Wrong{"XSparse",
              with_prompt({"--kv-format", "x", "--attn-sparsity", "0.5"}),
              {"--attn-sparsity", "--kv-format x"}},
        Wrong{"XCompressed",
              with_prompt({"--kv-format", "x", "--compress-cache"}),
              {"--compress-cache", "--kv-format"}},
        Wrong{"NoBatches", with_prompt({"--num-gpu-batches", "0"}), {"--num-gpu-batches", "range"}},
        Wrong{"Device", with_prompt({"--device", "tpu"}), {"--device", "tpu", "cpu,cuda"}},
        Wrong{"Threads", with_prompt({"--threads", "-1"}), {"--threads", "range"}},
        Wrong{"Timeout", with_prompt({"--comm-timeout", "0"}), {"--comm-timeout", "range"}}));

INSTANTIATE_TEST_SUITE_P(
    Choices, Usage,
    ::testing::Values(
        Wrong{"ZeroTemperature", with_prompt({"--do-sample", "--temperature", "0"}), {"temperature is 0"}},
        Wrong{"TemperatureNaN", with_prompt({"--temperature", "nan"}), {"temperature is nan"}},
        Wrong{"TemperatureText", with_prompt({"--temperature", "hot"}), {"--temperature", "hot"}},
        Wrong{"NegativeTopK", with_prompt({"--top-k", "-1"}), {"top-k is -1"}},
        Wrong{"TopPAbove1", with_prompt({"--top-p", "1.5"}), {"top-p is 1.5"}},
        Wrong{"TopPOf0", with_prompt({"--top-p", "0"}), {"top-p is 0"}},
        Wrong{"NegativeSeed", with_prompt({"--seed", "-1"}), {"--seed", "-1", "whole number"}},
        Wrong{"HugeSeed", with_prompt({"--seed", "18446744073709551616"}), {"--seed", "2^64"}},
        Wrong{"NoNewTokens", with_prompt({"--max-new-tokens", "0"}), {"--max-new-tokens", "range"}},
        Wrong{"FractionOfTokens", with_prompt({"--max-new-tokens", "1.5"}), {"--max-new-tokens", "1.5"}}));

TEST(Usage, CudaNeedsABuildWithItAndAGpu) {
  expect_refused(run_optpipe(with_prompt({"--device", "cuda"})), 2, {"--device cuda", "--device cpu"});
}

// Every process of a foreign launcher would take itself for rank 0; one of them says so.
TEST(Usage, TheLauncherOfAnotherMpi) {
  const Launch first{.environment = mpi_may_leak() + Words{"PMI_SIZE=4", "PMI_RANK=0"}};
  expect_refused(run_optpipe(with_prompt({}), first), 2, {"PMI", "4 processes", "another MPI", "mpirun"});
  const auto other =
      run_optpipe(with_prompt({}), {.environment = mpi_may_leak() + Words{"PMI_SIZE=4", "PMI_RANK=3"}});
  EXPECT_EQ(other.status, 0);  // what a launcher sees is the first one's
  EXPECT_EQ(other.out + other.err, "");
}

}  // namespace
}  // namespace optpipe::test
