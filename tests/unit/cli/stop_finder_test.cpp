// Against the obvious way: decode everything at every token and search it all.
#include "cli/stop_finder.hpp"

#include <gmock/gmock.h>

#include <random>

namespace optpipe::cli {
namespace {

// Token i stands for the bytes kPieces[i]; some hold parts of characters, one holds none.
const std::vector<std::string> kPieces{"a",    "b",    "ab",   "ba ",         "",         " ",
                                       "\xC3", "\xA4", "\xE6", "\x9D",        "\xB1\xE4", "\xBA",
                                       "\xAC", "aba",  "é",    "\xF0\x9F\x9A"};

// As the tokenizer's: each maximal invalid part is one U+FFFD. Written for clarity on the pieces above.
std::string replace_invalid(const std::string& bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size();) {
    const auto lead = static_cast<unsigned char>(bytes[i]);
    const std::size_t wanted = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    std::size_t have = wanted == 0 ? 0 : 1;
    while (have > 0 && have < wanted && i + have < bytes.size() &&
           (static_cast<unsigned char>(bytes[i + have]) & 0xC0) == 0x80)
      ++have;
    text += have > 0 && have == wanted ? bytes.substr(i, wanted) : "\xEF\xBF\xBD";
    i += std::max<std::size_t>(have, 1);
  }
  return text;
}

std::string decode(std::span<const std::int32_t> tokens) {
  std::string bytes;
  for (const auto token : tokens) bytes += kPieces[static_cast<std::size_t>(token)];
  return replace_invalid(bytes);
}

std::optional<std::size_t> search_everything(const std::vector<std::string>& stops,
                                             std::span<const std::int32_t> tokens) {
  const std::string text = decode(tokens);
  std::size_t first = std::string::npos;
  for (const auto& stop : stops) first = std::min(first, text.find(stop));
  return first == std::string::npos ? std::nullopt : std::optional(first);
}

// The token with which a stop string was found, and where.
template <class Search>
std::pair<std::size_t, std::optional<std::size_t>> first_hit(const std::vector<std::int32_t>& tokens,
                                                             Search search) {
  for (std::size_t n = 1; n <= tokens.size(); ++n)
    if (const auto found = search(std::span(tokens).first(n))) return {n, found};
  return {0, std::nullopt};
}

TEST(StopFinder, FindsWhatASearchOfEverythingFinds) {
  std::mt19937 random(1);
  const std::vector<std::vector<std::string>> all_stops{
      {"abab"}, {"aab", "ba a"}, {"ä"}, {"東京"}, {"京", "b東"}, {" "}, {"abababa", "éé"}, {"🚀"}, {"zz"}};
  int hits = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const auto& stops = all_stops[static_cast<std::size_t>(trial) % all_stops.size()];
    std::vector<std::int32_t> tokens(1 + random() % 40);
    for (auto& token : tokens) token = static_cast<std::int32_t>(random() % kPieces.size());
    const StopFinder finder(stops, decode);
    StopFinder::State state;
    const auto hit = first_hit(tokens, [&](auto some) { return finder.find(state, some); });
    EXPECT_EQ(hit, first_hit(tokens, [&](auto some) { return search_everything(stops, some); }));
    hits += hit.second.has_value();
  }
  EXPECT_GT(hits, 1000);
}

TEST(StopFinder, DecodesEachTokenAboutOnce) {
  std::size_t decoded = 0;
  const StopFinder finder({"zzz"}, [&](std::span<const std::int32_t> tokens) {
    decoded += tokens.size();
    return decode(tokens);
  });
  StopFinder::State state;
  const std::vector<std::int32_t> tokens(5000, 2);
  EXPECT_EQ(first_hit(tokens, [&](auto some) { return finder.find(state, some); }).second, std::nullopt);
  EXPECT_LE(decoded, 2 * tokens.size());
}

TEST(StopFinder, WithoutStringsDecodesNothing) {
  const StopFinder finder({}, [](auto) -> std::string { throw std::logic_error("decoded"); });
  StopFinder::State state;
  EXPECT_EQ(finder.find(state, std::vector<std::int32_t>{1, 2}), std::nullopt);
}

}  // namespace
}  // namespace optpipe::cli
