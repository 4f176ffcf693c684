// Several ranks under mpirun give what one process gives, byte for byte, once.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;

std::string golden_lines() {
  std::vector<json> lines;
  const auto& prompts = bundled_golden()["prompts"];
  for (std::size_t i = 0; i < prompts.size(); ++i)
    lines.push_back({{"id", std::to_string(i)}, {"prompt", prompts[i]}, {"max_new_tokens", 3 + 5 * i % 17}});
  return to_lines(lines);
}

struct Run {
  int ranks;
  Words words;
  std::string threads = "1";
};

void PrintTo(const Run& run, std::ostream* out) {
  *out << run.ranks << " ranks of " << run.threads;
  for (const auto& word : run.words) *out << ' ' << word;
}

class Ranks : public ::testing::TestWithParam<Run> {};

TEST_P(Ranks, GiveTheSameFile) {
  const Folder folder;
  write_file(folder / "in.jsonl", golden_lines());
  const auto words = [&](const std::string& name) {
    return generate({"--input", folder / "in.jsonl", "--output", folder / name});
  };
  ASSERT_EQ(run_optpipe(words("one.jsonl")).status, 0);
  const auto& [ranks, more, threads] = GetParam();
  // More threads than cores must not spin while they wait.
  const Words environment{"OMP_NUM_THREADS=" + threads, "OMP_WAIT_POLICY=passive"};
  const auto finished =
      run_optpipe(words("several.jsonl") + more, {.ranks = ranks, .environment = environment});
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, "");
  EXPECT_EQ(log_lines(finished.err).size(), 2u) << finished.err;
  EXPECT_EQ(error_lines(finished.err), Words{});
  EXPECT_EQ(json_lines(read_file(folder / "one.jsonl")).size(), 18u);
  EXPECT_EQ(read_file(folder / "several.jsonl"), read_file(folder / "one.jsonl"));
}

INSTANTIATE_TEST_SUITE_P(
    Mpirun, Ranks,
    ::testing::Values(
        Run{2, {}}, Run{3, {}, "2"}, Run{5, {}}, Run{8, {}}, Run{2, percent("0 0 0 0 0 0"), "2"},
        Run{3, percent("0 0 0 0 0 0") + Words{"--overlap", "false"}},
        Run{5, percent("50 25 10 60 0 100") + Words{"--gpu-batch-size", "2"}},
        Run{2, Words{"--gpu-batch-size", "3", "--num-gpu-batches", "2"} + percent("0 100 0 100 0 100")},
        Run{3, {"--gpu-batch-size", "1", "--num-inner-iterations", "5", "--overlap", "false"}},
        Run{2, {"--stage-layers", "7,1"}}, Run{2, {"--gpu-batch-size", "9", "--prefill-pieces", "3"}},
        Run{3, Words{"--gpu-batch-size", "2", "--num-gpu-batches", "3", "--prefill-pieces", "6"} +
                   percent("50 50 50 50 100 0")}));

TEST(Mpirun, OneRankIsOneProcess) {
  const Words words = Words{"bash", "-c", "source \"$0\" && exec mpirun \"${mpirun_flags[@]}\" -n 1 \"$@\""};
  const auto flags = bundled_model().parent_path().parent_path() / "launch/mpi-flags.sh";
  const auto finished =
      run_process(words + Words{flags, program()} + generate({"--prompt", "Paris is the capital city of"}),
                  "", mpi_may_leak() + Words{"CUDA_VISIBLE_DEVICES="});
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, bundled_golden()["text"][0].get<std::string>() + "\n");
}

TEST(Mpirun, StandardInputAndOutput) {
  const auto one = run_optpipe(generate({"--input", "-"}), {.input = golden_lines()});
  const auto three = run_optpipe(generate({"--input", "-"}), {.ranks = 3, .input = golden_lines()});
  if (three.err.find("Open MPI 5") != std::string::npos) {
    expect_refused(three, 2, {"--input -", "give a file"});
    GTEST_SKIP() << "this mpirun does not hand on standard input";
  }
  EXPECT_EQ(three.status, 0) << three.err;
  EXPECT_EQ(json_lines(one.out).size(), 18u);
  EXPECT_EQ(three.out, one.out);
}

TEST(Mpirun, StandardInputThroughOpenMpi5IsRefused) {
  const Words launched{"OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0", "PRTE_LAUNCHED=1"};
  expect_refused(run_optpipe(generate({"--input", "-"}),
                             {.input = golden_lines(), .environment = launched + mpi_may_leak()}),
                 2, {"--input -", "Open MPI 5", "give a file"});
}

TEST(Mpirun, SamplingDependsOnTheSeedAlone) {
  const Folder folder;
  write_file(folder / "in.jsonl", golden_lines());
  const Words words = generate({"--input", folder / "in.jsonl", "--do-sample", "--temperature", "1.5"});
  const auto sample = [&](int ranks, const Words& more) {
    return run_optpipe(words + more, {.ranks = ranks}).out;
  };
  const auto reference = sample(1, {"--seed", "5"});
  EXPECT_EQ(json_lines(reference).size(), 18u);
  EXPECT_EQ(sample(3, {"--seed", "5"}), reference);
  EXPECT_EQ(sample(2, Words{"--seed", "5"} + percent("0 0 0 0 0 0")), reference);
  EXPECT_NE(sample(3, {"--seed", "6"}), reference);
}

TEST(Mpirun, ReportNamesTheRanks) {
  const Folder folder;
  const auto finished =
      run_optpipe(generate({"--prompt", "x", "--json", folder / "report.json"}), {.ranks = 3});
  EXPECT_EQ(finished.status, 0) << finished.err;
  const auto report = json::parse(read_file(folder / "report.json"));
  EXPECT_EQ(report["input"]["ranks"], 3);
  EXPECT_NEAR(report["result"]["total_s"],
              report["result"]["prefill_s"].get<double>() + report["result"]["decode_s"].get<double>(), 1e-9);
}

TEST(Mpirun, NoPromptsEndAllRanks) {
  const auto finished = run_optpipe(generate({"--input", "-"}), {.ranks = 3});
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, "");
}

TEST(Mpirun, HelpAndVersionArePrintedOnce) {
  for (const Words& words : {Words{"generate", "--help"}, Words{"--version"}}) {
    const auto one = run_optpipe(words), three = run_optpipe(words, {.ranks = 3});
    EXPECT_EQ(three.status, 0) << three.err;
    EXPECT_EQ(three.out, one.out);
    EXPECT_EQ(log_lines(three.err), Words{});
  }
}

}  // namespace
}  // namespace optpipe::test
