// --stop: the text ends before the string, wherever tokens are cut.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;

// Result of one prompt of the bundled golden with these stop strings.
json stopped_at(std::size_t prompt, const Words& stops) {
  Words words{"--input", "-"};
  for (const auto& stop : stops) words = words + Words{"--stop", stop};
  const auto finished =
      run_optpipe(generate(words), {.input = to_lines({{{"prompt", bundled_golden()["prompts"][prompt]}}})});
  EXPECT_EQ(finished.status, 0) << finished.err;
  return json_lines(finished.out).at(0);
}

std::string full_text(std::size_t prompt) { return bundled_golden()["text"][prompt]; }

TEST(Stop, TextEndsBeforeTheString) {
  // " France. France lies in Europe. People there speak French and pay with the euro."
  const auto result = stopped_at(0, {" lies"});
  EXPECT_EQ(result["text"], " France. France");
  EXPECT_EQ(result["finish_reason"], "stop");
  EXPECT_EQ(result["tokens"], (json{1596, 17, 1596, 314}));  // up to the one that completed it
}

TEST(Stop, TheEarliestOfSeveralEnds) {
  EXPECT_EQ(stopped_at(0, {"People", "Europe", "euro"})["text"], " France. France lies in ");
}

TEST(Stop, StringsCrossTokens) {
  EXPECT_EQ(stopped_at(0, {"ance. Fr"})["text"], " Fr");
  EXPECT_EQ(stopped_at(0, {"e. P"})["text"], " France. France lies in Europ");
  EXPECT_EQ(stopped_at(0, {" "})["text"], "");
}

TEST(Stop, AStringThatNeverComesChangesNothing) {
  const auto result = stopped_at(0, {"Germany", "[France]", "france"});
  EXPECT_EQ(result["text"], full_text(0));
  EXPECT_EQ(result["tokens"], bundled_golden()["tokens"][0]);
}

TEST(Stop, EveryPieceOfATextIsFound) {
  const std::string text = full_text(0);
  for (std::size_t begin = 1; begin < text.size(); begin += 13) {
    const std::string piece = text.substr(begin, 9);
    EXPECT_EQ(stopped_at(0, {piece})["text"], text.substr(0, text.find(piece))) << piece;
  }
}

TEST(Stop, NonAscii) {
  ASSERT_EQ(full_text(17), " The capital of Iceland is Reykjavík.");
  EXPECT_EQ(stopped_at(17, {"í"})["text"], " The capital of Iceland is Reykjav");
  EXPECT_EQ(stopped_at(17, {"vík."})["text"], " The capital of Iceland is Reykja");
  EXPECT_EQ(stopped_at(17, {"ì", "東"})["text"], full_text(17));
}

TEST(Stop, OnlyThePromptsThatHoldItEnd) {
  const auto& golden = bundled_golden();
  const auto finished =
      run_optpipe(generate({"--prompt", golden["prompts"][0], golden["prompts"][1], "--stop", "Burkina"}));
  EXPECT_EQ(finished.out, full_text(0) + "\n \n");
}

TEST(Stop, RefusedStrings) {
  expect_refused(run_optpipe(generate({"--prompt", "x", "--stop", ""})), 2, {"--stop", "empty"});
  expect_refused(run_optpipe(generate({"--prompt", "x", "--stop", "\xFF"})), 2, {"--stop", "UTF-8"});
}

}  // namespace
}  // namespace optpipe::test
