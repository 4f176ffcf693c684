// Texts that no table of goldens can hold: random, long, not UTF-8; and several threads.
#include <gmock/gmock.h>

#include <array>
#include <limits>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "model/tokenizer/utf8.hpp"
#include "unit/tokenizer/fixtures.hpp"

namespace optpipe::model::testing {
namespace {

using Ids = std::vector<Token>;
using ::testing::HasSubstr;

std::string random_text(std::mt19937& random, int length) {
  std::string text;
  std::uniform_int_distribution<unsigned> kind(0, 3), any(0, 0x10FFFF), low(0, 0x7F), plane(0, 0xFFFF),
      space(0, 9);
  for (int i = 0; i < length; ++i) {
    const auto chosen = kind(random);
    char32_t c = chosen == 0 ? any(random) : chosen == 1 ? plane(random) : low(random);
    if (chosen == 3) c = tokenizer::kWhiteSpace[space(random)].first;
    if (c < 0xD800 || c > 0xDFFF) tokenizer::append_utf8(c, text);
  }
  return text;
}

TEST(TokenizerText, ComesBackExactly) {
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    const auto text = random_text(random, i % 200);
    const auto ids = fixture().encode(text);
    ASSERT_EQ(fixture().decode(ids), text) << Json(text).dump();
  }
}

TEST(TokenizerText, ComesBackByteByByte) {
  for (char32_t c = 0; c < 0x110000; c = c == 0xD7FF ? 0xE000 : c + 1) {
    if (c > 0x3000 && c % 7 != 0) continue;
    std::string text;
    tokenizer::append_utf8(c, text);
    ASSERT_EQ(fixture().decode(fixture().encode(text)), text) << "U+" << std::hex << static_cast<unsigned>(c);
  }
}

// A step that grows with the square of the length would not end within the test's time.
TEST(TokenizerText, TakesLongTextsInStride) {
  constexpr std::size_t kLong = 1 << 20;
  const std::array<std::string, 4> units{"a", " ", "!", "\n"};
  for (const auto& unit : units) {
    std::string text;
    for (std::size_t i = 0; i < kLong; ++i) text += unit;
    EXPECT_TRUE(fixture().decode(fixture().encode(text)) == text) << Json(unit).dump();
    EXPECT_TRUE(fixture().decode(fixture().encode(text + "x")) == text + "x") << Json(unit).dump();
  }
  std::mt19937 random(3);
  const std::string letters = "abcdefghijklmnopqrstuvwxyz";
  std::string word, spaced, wide;
  while (word.size() < kLong) {
    word += letters[random() % letters.size()];
    spaced += random() % 2 != 0 ? "  " : " a";
    wide += "\u3000";
  }
  EXPECT_TRUE(fixture().decode(fixture().encode(word)) == word);
  EXPECT_TRUE(fixture().decode(fixture().encode(spaced)) == spaced);
  EXPECT_TRUE(fixture().decode(fixture().encode(wide + "b")) == wide + "b");
}

// The definition, step by step: over the whole word for the pair that merges.txt lists first, until there is
// none.
std::vector<std::string> merged_by_definition(const std::string& word) {
  std::map<std::pair<std::string, std::string>, int> ranks;
  std::istringstream lines(read_file(fixture_folder() / "merges.txt"));
  std::string left, right;
  std::getline(lines, left);
  while (lines >> left >> right) ranks.emplace(std::pair(left, right), static_cast<int>(ranks.size()));
  std::vector<std::string> symbols;
  for (const char c : word) symbols.emplace_back(1, c);
  while (true) {
    int best = std::numeric_limits<int>::max();
    std::size_t where = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found != ranks.end() && found->second < best) best = found->second, where = i;
    }
    if (best == std::numeric_limits<int>::max()) return symbols;
    symbols[where] += symbols[where + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
}

TEST(TokenizerText, MergesLongWordsAsDefined) {
  const auto vocabulary = read_json("vocab.json");
  std::mt19937 random(5);
  for (const std::string letters : {"theniragsod", "the", "en", "thecapilydrou"}) {
    std::string word;
    while (word.size() < 1000) word += letters[random() % letters.size()];
    Ids expected;
    for (const auto& token : merged_by_definition(word)) expected.push_back(vocabulary.at(token));
    EXPECT_LT(expected.size(), 900u) << "too few merges to tell anything";
    EXPECT_EQ(fixture().encode(word, false), expected);
  }
}

TEST(TokenizerText, EncodesAlikeOnSeveralThreads) {
  std::mt19937 random(11);
  std::vector<std::string> texts;
  std::vector<Ids> expected;
  for (int i = 0; i < 200; ++i) {
    texts.push_back(random_text(random, 100));
    expected.push_back(fixture().encode(texts.back()));
  }
  std::array<int, 4> different{-1, -1, -1, -1};
  {
    std::vector<std::jthread> threads;
    for (auto& count : different)
      threads.emplace_back([&] {
        count = 0;
        for (std::size_t i = 0; i < texts.size(); ++i) {
          const auto ids = fixture().encode(texts[i]);
          if (ids != expected[i] || fixture().decode(ids) != texts[i]) ++count;
        }
      });
  }
  EXPECT_THAT(different, ::testing::Each(0));
}

TEST(TokenizerText, RefusesWhatIsNotUtf8) {
  const std::array<std::pair<std::string, int>, 9> cases{{{"\x80", 0},
                                                          {"ab\xC3", 2},
                                                          {"\xC0\x80", 0},
                                                          {"é\xE2\x82", 2},
                                                          {"a\xED\xA0\x80", 1},
                                                          {"\xF4\x90\x80\x80", 0},
                                                          {"</s>\xF8", 4},
                                                          {"abc\xE0\x9F\xBF", 3},
                                                          {std::string("\0\xFF", 2), 1}}};
  for (const auto& one : cases)
    EXPECT_THAT(input_error([&] { fixture().encode(one.first); }),
                HasSubstr("at byte " + std::to_string(one.second) + ":"));
}

TEST(TokenizerText, RefusesIdsOutsideTheVocabulary) {
  for (const Token id : {-1, 800, 1 << 30}) {
    const auto message = input_error([&] { fixture().decode(Ids{5, id}); });
    EXPECT_THAT(message, HasSubstr("token " + std::to_string(id) + " "));
  }
}

// Counts from Python: len(bytes.decode(errors="replace")).
TEST(TokenizerText, ReplacesMaximalSubparts) {
  using tokenizer::replace_invalid;
  const std::string r = "\uFFFD";
  EXPECT_EQ(replace_invalid("a\xF0\x9F\x98z"), "a" + r + "z");
  EXPECT_EQ(replace_invalid("\xF0\x9F\x98"), r);
  EXPECT_EQ(replace_invalid("\xE2\x82\xE2\x82\xAC"), r + "€");
  EXPECT_EQ(replace_invalid("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(replace_invalid("\xC0\xAF"), r + r);
  EXPECT_EQ(replace_invalid("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(replace_invalid("\xF1\x80\x80\xC3\xA9"), r + "é");
  EXPECT_EQ(replace_invalid("\xE0\x80"), r + r);
}

}  // namespace
}  // namespace optpipe::model::testing
