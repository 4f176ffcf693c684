// The disk tier's folder.
#include <sys/mount.h>

#include <cerrno>
#include <cstring>

#include "cli/program.hpp"

namespace optpipe::test {
namespace {

Words all_on_disk(const std::string& directory) {
  return generate({"--prompt", "x", "--max-new-tokens", "2", "--offload-dir", directory}) +
         percent("0 0 0 0 0 0");
}

TEST(Disk, AFolderIsMadeAndLeftEmpty) {
  const Folder folder;
  const auto finished = run_optpipe(all_on_disk(folder / "new/offload"));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_TRUE(std::filesystem::is_empty(folder / "new/offload"));
}

TEST(Disk, AFolderThatCannotBeWritten) {
  expect_refused(run_optpipe(all_on_disk("/dev/null/offload")), 4, {"/dev/null/offload", "--offload-dir"});
}

TEST(Disk, TheTemporaryFolderIsTheDefault) {
  const Words words = generate({"--prompt", "x"}) + percent("0 0 0 0 0 0");
  expect_refused(run_optpipe(words, {.environment = {"TMPDIR=/dev/null/offload"}}), 4,
                 {"/dev/null/offload", "--offload-dir"});
}

TEST(Disk, ChecksumsChangeNothingThatIsWhole) {
  const Words prompt{"--prompt", bundled_golden()["prompts"][0], "--verify-offload", "--json", "/dev/null"};
  const auto finished = run_optpipe(generate(prompt) + percent("0 0 0 0 0 0"));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, bundled_golden()["text"][0].get<std::string>() + "\n");
}

TEST(Disk, TheReportSaysWhatWasReadAndWritten) {
  const Folder folder;
  const auto finished = run_optpipe(
      generate({"--prompt", "x", "--ignore-eos", "--max-new-tokens", "3", "--json", folder / "r.json"}) +
      percent("0 0 0 0 0 0"));
  EXPECT_EQ(finished.status, 0) << finished.err;
  const auto disk = nlohmann::json::parse(read_file(folder / "r.json"))["ranks"][0]["disk"];
  // Three token steps read all weights but for the embedding's rows: 8 layers, the head with its norm.
  constexpr double kLayer = 12 * 192 * 192 + 13 * 192;
  EXPECT_GT(disk["read_bytes"].get<double>(), 3 * 8 * kLayer * 2);
  EXPECT_GT(disk["written_bytes"].get<double>(), 0);
  EXPECT_GT(disk["read_bytes_s"].get<double>(), 0);
}

TEST(Disk, TooSmall) {
  const Folder folder;
  if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=256k") != 0)
    GTEST_SKIP() << "mounting a small disk takes root: " << std::strerror(errno);
  expect_refused(run_optpipe(all_on_disk(folder.path())), 3, {folder.path(), "--offload-dir", "--percent"});
  EXPECT_EQ(umount(folder.path().c_str()), 0);
}

TEST(Disk, ResultsThatDoNotFit) {
  const Folder folder;
  if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=4k") != 0)
    GTEST_SKIP() << "mounting a small disk takes root: " << std::strerror(errno);
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "{\"prompt\":\"Madrid\",\"id\":\"" + std::string(200, 'i') + "\"}\n";
  const auto finished =
      run_optpipe(generate({"--input", "-", "--max-new-tokens", "2", "--output", folder / "out.jsonl"}),
                  {.input = lines});
  EXPECT_EQ(finished.status, 1);
  ASSERT_EQ(error_lines(finished.err).size(), 1u) << finished.err;
  EXPECT_THAT(finished.err,
              ::testing::HasSubstr("journal " + (folder / "out.jsonl") + ".journal failed: No space left"));
  EXPECT_EQ(umount(folder.path().c_str()), 0);
}

}  // namespace
}  // namespace optpipe::test
