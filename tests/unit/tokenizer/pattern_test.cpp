#include "model/tokenizer/pattern.hpp"

#include <gmock/gmock.h>

#include "model/tokenizer/words.hpp"
#include "unit/tokenizer/fixtures.hpp"

namespace optpipe::model::testing {
namespace {

using tokenizer::Pattern;

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  tokenizer::WordSplitter().split(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

TEST(Pattern, MatchesOnlyAtTheOffset) {
  const Pattern pattern("b+");
  Pattern::Matcher matcher(pattern);
  EXPECT_EQ(matcher.match_at("abbb", 0), 0u);
  EXPECT_EQ(matcher.match_at("abbb", 1), 3u);
  EXPECT_EQ(matcher.match_at("abbb", 4), 0u);
}

TEST(Pattern, GivesUpWithAnError) {
  const Pattern pattern("(?:a+)+$");
  Pattern::Matcher matcher(pattern);
  EXPECT_THROW(matcher.match_at(std::string(100, 'a') + "b", 0), SystemError);
}

TEST(Pattern, RefusesExpressionsThatDoNotCompile) { EXPECT_THROW(Pattern("(a"), SystemError); }

// As the tokenizers library's ByteLevel pre-tokenizer cuts them.
TEST(Words, AreGpt2s) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(words_of("it's we'LL  go"), (Words{"it", "'s", " we", "'", "LL", " ", " go"}));
  EXPECT_EQ(words_of("a1!? b2"), (Words{"a", "1", "!?", " b", "2"}));
  EXPECT_EQ(words_of(" \n\tx \n"), (Words{" \n", "\t", "x", " \n"}));
  EXPECT_EQ(words_of("x\u00A0y"), (Words{"x", "\u00A0", "y"}));
  EXPECT_EQ(words_of("x\u180Ey"), (Words{"x", "\u180E", "y"}));
  EXPECT_EQ(words_of("! \u180E!"), (Words{"!", " \u180E!"}));
  EXPECT_EQ(words_of(""), Words{});
}

}  // namespace
}  // namespace optpipe::model::testing
