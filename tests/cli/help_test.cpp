// --help and --version.
#include <sstream>

#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using ::testing::HasSubstr;

void expect_fits_a_terminal(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  EXPECT_THAT(text, ::testing::Not(HasSubstr("\n\n\n")));
}

TEST(Help, NamesTheCommands) {
  const auto finished = run_optpipe({"--help"});
  EXPECT_EQ(finished.status, 0);
  EXPECT_EQ(finished.err, "");
  EXPECT_THAT(finished.out, HasSubstr("Usage: optpipe "));
  EXPECT_THAT(finished.out, HasSubstr("\n  generate "));
  expect_fits_a_terminal(finished.out);
}

TEST(Help, OptionsStandInGroups) {
  const auto finished = run_optpipe({"generate", "--help"});
  EXPECT_EQ(finished.status, 0);
  EXPECT_EQ(finished.err, "");
  std::size_t at = 0;
  for (const std::string part :
       {"Usage: optpipe generate", "\nModel:\n", "\n  --model DIR", "\nInput and output:\n",
        "\n  --prompt TEXT", "\n  --input FILE", "\nChoice of tokens:\n", "\n  --top-k INT",
        "\nPolicy: ", "\n  --percent ", "\nRun:\n", "\n  --threads "}) {
    const auto found = finished.out.find(part, at);
    EXPECT_NE(found, std::string::npos) << part;
    at = found;
  }
  expect_fits_a_terminal(finished.out);
}

TEST(Help, VersionNamesBackendsAndTransports) {
  const auto finished = run_optpipe({"--version"});
  EXPECT_EQ(finished.status, 0);
  EXPECT_THAT(finished.out,
              ::testing::ContainsRegex("optpipe [0-9]+\\.[0-9]+\\.[0-9]+\nbackends: cpu \\(.+\\)"));
  EXPECT_THAT(finished.out, HasSubstr("transports: in-process, MPI"));
}

}  // namespace
}  // namespace optpipe::test
