#include "cli/progress.hpp"

#include <gmock/gmock.h>

namespace optpipe::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A clock that the test sets, and what has been written.
struct Desk {
  ProgressOutput::Clock::time_point now{};
  std::vector<std::string> written;

  ProgressOutput output(bool is_terminal) {
    return {is_terminal, [this](std::string_view text) { written.emplace_back(text); },
            [this] { return now; }};
  }
};

// 4 prompts, 8 new tokens each: prefill takes 10 s, a decode step 2 s.
TEST(Progress, ATerminalShowsTokenStepRateAndTimeLeft) {
  Desk desk;
  Progress progress(32, 4, desk.output(true));
  desk.now += 10s;
  progress.show(4);
  desk.now += 2s;
  progress.show(8);
  desk.now += 2s;
  progress.show(12);
  EXPECT_THAT(desk.written,
              ElementsAre("\r\x1b[Ktoken step 1 of 8, 4 of 32 tokens, 0.4 token/s, at most 00:01:10 left",
                          "\r\x1b[Ktoken step 2 of 8, 8 of 32 tokens, 2.0 token/s, at most 00:00:12 left",
                          "\r\x1b[Ktoken step 3 of 8, 12 of 32 tokens, 2.0 token/s, at most 00:00:10 left"))
      << "prefill is no measure of what is left, once a decode step has been seen";
}

TEST(Progress, ATerminalsLineIsRenewedFiveTimesASecondAndClearedInTheEnd) {
  Desk desk;
  {
    Progress progress(1000, 1, desk.output(true));
    for (int token = 1; token <= 100; ++token) {
      desk.now += 10ms;
      progress.show(token);
    }
    EXPECT_THAT(desk.written, SizeIs(5));
    progress.clear_line();
    EXPECT_EQ(desk.written.back(), "\r\x1b[K");
    progress.clear_line();
    EXPECT_THAT(desk.written, SizeIs(6)) << "nothing is there to clear";
    desk.now += 1s;
    progress.show(101);
  }
  EXPECT_EQ(desk.written.back(), "\r\x1b[K");
}

TEST(Progress, ALogGetsALineAMinuteWithoutControlCharacters) {
  Desk desk;
  {
    Progress progress(4800, 150, desk.output(false));
    for (int second = 1; second <= 200; ++second) {
      desk.now += 1s;
      progress.show(second * 10);
    }
  }
  // Decode began after 15 s, with the 150th token.
  ASSERT_THAT(desk.written, SizeIs(3));
  EXPECT_EQ(desk.written[0], "token step 4 of 32, 600 of 4800 tokens, 10.0 token/s, at most 00:07:00 left");
  EXPECT_EQ(desk.written[1].find('\r'), std::string::npos);
  EXPECT_EQ(desk.written[2], "token step 12 of 32, 1800 of 4800 tokens, 10.0 token/s, at most 00:05:00 left");
}

TEST(Progress, AShortRunLogsNothing) {
  Desk desk;
  Progress progress(10, 1, desk.output(false));
  desk.now += 59s;
  progress.show(9);
  EXPECT_THAT(desk.written, IsEmpty());
}

// Prompts that begin one after another share no token step.
TEST(Progress, WithoutCommonTokenStepsThereIsNone) {
  Desk desk;
  Progress progress(7200, 0, desk.output(false));
  desk.now += 60s;
  progress.show(60);
  EXPECT_THAT(desk.written, ElementsAre("60 of 7200 tokens, 1.0 token/s, at most 01:59:00 left"));
}

TEST(Progress, AClockThatStandsStillIsNoDivisionByZero) {
  Desk desk;
  Progress progress(8, 2, desk.output(true));
  desk.now += 1s;
  progress.show(2);
  desk.now += 1s;
  progress.show(2);
  progress.show(3);
  EXPECT_THAT(desk.written, SizeIs(2));
}

}  // namespace
}  // namespace optpipe::cli
