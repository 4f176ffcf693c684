// Errors with several ranks: one message, the status comes through mpirun, and all ranks end.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

namespace fs = std::filesystem;

void expect_all_refused(const Words& words, int status, const Words& parts, int ranks = 3) {
  expect_refused(run_optpipe(words, {.ranks = ranks, .seconds = 30}), status, parts);
}

fs::path fixture(const std::string& name) { return fs::path(OPTPIPE_TEST_DATA) / "golden" / name; }

TEST(RankErrors, WrongFlag) { expect_all_refused(generate({"--prompt", "x", "--bogus"}), 2, {"--bogus"}); }

TEST(RankErrors, MissingModel) {
  expect_all_refused({"generate", "--model", "/no/such/model", "--prompt", "x"}, 4, {"no such folder"});
}

TEST(RankErrors, BadLine) {
  const Folder folder;
  write_file(folder / "in.jsonl", "{\"prompt\":\"x\"}\n{\"prompt\":5}\n");
  expect_all_refused(generate({"--strict", "--input", folder / "in.jsonl"}), 4, {"in.jsonl:2: "});
}

TEST(RankErrors, MoreRanksThanLayers) {
  expect_all_refused({"generate", "--model", fixture("fp32"), "--prompt", "x"}, 2, {"3 ranks", "2 layers"});
}

TEST(RankErrors, StageLayers) {
  expect_all_refused(generate({"--prompt", "x", "--stage-layers", "4,4"}), 2,
                     {"--stage-layers names 2", "3"});
  expect_all_refused(generate({"--prompt", "x", "--stage-layers", "4,4,4"}), 2, {"4,4,4", "8 layers"});
}

TEST(RankErrors, UnwritableOutput) {
  expect_all_refused(generate({"--prompt", "x", "--output", "/no/such/folder/out"}), 4, {"--output"});
}

TEST(RankErrors, UnwritableDisk) {
  expect_all_refused(generate({"--prompt", "x", "--offload-dir", "/dev/null/x"}) + percent("0 0 0 0 0 0"), 4,
                     {"/dev/null/x", "--offload-dir"});
}

// The ranks of a node share its memory; one of them says so, and all end.
TEST(RankErrors, TooLittleMemoryForAllRanksOfANode) {
  expect_all_refused(generate({"--prompt", "x", "--host-mem", "100MiB"}), 3,
                     {"ranks 0-2 on ", "of host memory", "100.0 MiB are left (--host-mem)"});
}

// The last layer's tensors lie in the third shard, which rank 0 never opens.
TEST(RankErrors, AShardThatOnlyOneRankNeeds) {
  const Folder folder;
  for (const auto& entry : fs::directory_iterator(fixture("sharded-safetensors")))
    fs::copy_file(entry.path(), folder.path() / entry.path().filename());
  fs::remove(folder / "model-00003-of-00003.safetensors");
  write_file(folder / "in.jsonl", R"({"tokens":[2,5,6]})");
  const Words words{"generate", "--model", folder.path(), "--input", folder / "in.jsonl"};
  expect_all_refused(words, 4, {"rank 1 on ", "model-00003-of-00003.safetensors"}, 2);
}

// Results that cannot be written in the middle of a run, while the other ranks wait for the next round.
TEST(RankErrors, AFullDiskEndsAllRanks) {
  const Folder folder;
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += "{\"prompt\":\"Madrid\"}\n";
  write_file(folder / "in.jsonl", lines);
  const auto finished = run_optpipe(
      generate({"--input", folder / "in.jsonl", "--output", "/dev/full", "--gpu-batch-size", "1"}),
      {.ranks = 3, .seconds = 30});
  EXPECT_EQ(finished.status, 1) << finished.err;
  ASSERT_EQ(error_lines(finished.err).size(), 1u) << finished.err;
  EXPECT_THAT(error_lines(finished.err)[0], ::testing::HasSubstr("No space left on device"));
}

}  // namespace
}  // namespace optpipe::test
