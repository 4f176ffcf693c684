// What a journal keeps, whatever interrupts the run that writes it.
#include "cli/journal.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / "optpipe-journal-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = Journal::path_for(folder_ + "/out.jsonl");
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string content() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }
  void write_run(const std::vector<std::int64_t>& prompts) const {
    Journal journal(path_, run_, false);
    for (const auto prompt : prompts) journal.add({prompt, {1, 2}});
  }
  std::vector<std::int64_t> resumed() const {
    const Journal journal(path_, run_, true);
    std::vector<std::int64_t> prompts;
    for (const auto& entry : journal.earlier()) prompts.push_back(entry.prompt);
    return prompts;
  }
  template <class Failure>
  std::string refusal(const nlohmann::json& run, bool resume) const {
    try {
      const Journal journal(path_, run, resume, 0.1);
    } catch (const Failure& error) {
      return error.what();
    }
    return "";
  }

  nlohmann::json run_{{"prompts", 9}, {"seed", 1}};
  std::string folder_, path_;
};

TEST_F(JournalTest, HoldsWhatWasAdded) {
  {
    Journal journal(path_, run_, false);
    journal.add({4, {7, 8, 9}});
    journal.add({0, {}});
  }
  Journal journal(path_, run_, true);
  ASSERT_EQ(journal.earlier().size(), 2u);
  EXPECT_EQ(journal.earlier()[0].prompt, 4);
  EXPECT_THAT(journal.earlier()[0].tokens, ElementsAre(7, 8, 9));
  EXPECT_EQ(journal.size(), 2u);
  journal.add({5, {1}});
  journal.sync();
  EXPECT_EQ(read_journal(content()).entries.size(), 3u);
}

// A process that is killed has handed over all that it added.
TEST_F(JournalTest, SurvivesSigkill) {
  const pid_t child = fork();
  if (child == 0) {
    Journal journal(path_, run_, false);
    journal.add({3, {1}});
    journal.add({6, {2}});
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(resumed(), ElementsAre(3, 6));
}

// Power loss may keep any part of what was not synchronized: every length that the file can have is tried.
TEST_F(JournalTest, EveryTornEndIsPassedOver) {
  write_run({1, 2, 3});
  const auto whole = content();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write(whole.substr(0, length));
    const auto held = read_journal(whole.substr(0, length)).entries.size();
    {
      Journal journal(path_, run_, true);
      ASSERT_EQ(journal.earlier().size(), held) << length;
      journal.add({8, {5}});
    }
    const auto after = read_journal(content());
    ASSERT_EQ(after.entries.size(), held + 1) << length;
    ASSERT_EQ(after.entries.back().prompt, 8);
    ASSERT_EQ(after.run, run_);
    ASSERT_EQ(after.broken_lines, 0u);
  }
}

TEST_F(JournalTest, AHoleCostsOnlyWhatIsInIt) {
  write_run({1, 2, 3});
  auto text = content();
  const auto second = text.find("\"prompt\":2");
  text.replace(second, 10, 10, '\0');  // a block that never reached the disk
  write(text);
  EXPECT_THAT(resumed(), ElementsAre(1, 3));
}

TEST_F(JournalTest, AnyChangedByteIsNoticed) {
  write_run({1});
  const auto whole = content();
  const auto begin = whole.find('\n') + 1;
  for (std::size_t i = begin; i + 1 < whole.size(); ++i) {
    auto text = whole;
    text[i] = static_cast<char>(text[i] ^ 4);
    ASSERT_TRUE(read_journal(text).entries.empty()) << i;
  }
}

TEST_F(JournalTest, AnotherRunIsRefusedByWhatDiffers) {
  write_run({1});
  auto other = run_;
  other["seed"] = 2;
  EXPECT_THAT(refusal<UsageError>(other, true), HasSubstr("seed was 1 there and is 2 here"));
  other = run_;
  other["top_k"] = 5;
  EXPECT_THAT(refusal<UsageError>(other, true), HasSubstr("top_k was not stated there and is 5 here"));
  EXPECT_THAT(resumed(), ElementsAre(1)) << "a refusal changes nothing";
}

TEST_F(JournalTest, FinishedPromptsAreNotLostByBeginningAnew) {
  write_run({1, 2});
  EXPECT_THAT(refusal<UsageError>(run_, false), HasSubstr("holds 2 finished prompt(s)"));
  EXPECT_THAT(resumed(), ElementsAre(1, 2));
}

TEST_F(JournalTest, WithoutFinishedPromptsItLeavesNothing) {
  { const Journal journal(path_, run_, false); }
  EXPECT_FALSE(fs::exists(path_));
  write("what a run that was killed at its begin left");
  { const Journal journal(path_, run_, false); }
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(JournalTest, OneRunAtATime) {
  const Journal journal(path_, run_, false);
  EXPECT_THAT(refusal<UsageError>(run_, true), HasSubstr("in use by another run"));
}

TEST_F(JournalTest, AFolderThatIsMissing) {
  path_ = folder_ + "/missing/out.journal";
  EXPECT_THAT(refusal<InputError>(run_, false), HasSubstr("No such file or directory"));
}

// A disk that is full in the middle of an entry: the error says so, and the entries before hold.
TEST_F(JournalTest, AFullDisk) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    Journal journal(path_, run_, false);
    journal.add({1, {1}});
    const rlimit limit{fs::file_size(path_) + 10, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      journal.add({2, std::vector<std::int32_t>(100, 5)});
    } catch (const SystemError& error) {
      _exit(std::string(error.what()).find("write of the journal") != std::string::npos ? 0 : 2);
    }
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_THAT(resumed(), ElementsAre(1));
  EXPECT_EQ(content().back(), '\n') << "no half entry is left";
}

}  // namespace
}  // namespace optpipe::cli
