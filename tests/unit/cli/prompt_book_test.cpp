#include "cli/bench/prompt_book.hpp"

#include <gmock/gmock.h>

#include <set>

namespace optpipe::cli {
namespace {

using ::testing::ElementsAre;

const auto kConfig = model::config_of_size("opt-125m");

TEST(PromptBook, EndsWithTheWholeSentence) {
  const PromptBook book(kConfig, nullptr, false);
  EXPECT_THAT(book.prompt(0, 7), ElementsAre(2, 33361, 16, 5, 812, 343, 9));
  EXPECT_THAT(book.prompt(3, 10), ElementsAre(2, 812, 343, 9, 33361, 16, 5, 812, 343, 9));
  EXPECT_THAT(book.prompt(0, 1), ElementsAre(2));
  EXPECT_EQ(book.prompt(0, 512).size(), 512u);
}

TEST(PromptBook, DistinctPromptsDiffer) {
  const PromptBook book(kConfig, nullptr, true);
  std::set<std::vector<std::int32_t>> prompts;
  for (int i = 0; i < 200; ++i) prompts.insert(book.prompt(i, 8));
  EXPECT_EQ(prompts.size(), 200u);
}

TEST(PromptBook, StaysInsideASmallVocabulary) {
  auto config = kConfig;
  config.vocabulary = 100;
  for (const auto token : PromptBook(config, nullptr, true).prompt(999, 64)) {
    EXPECT_GE(token, 0);
    EXPECT_LT(token, 100);
  }
}

}  // namespace
}  // namespace optpipe::cli
