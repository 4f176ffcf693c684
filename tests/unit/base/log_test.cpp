#include "optpipe/base/log.hpp"

#include <gtest/gtest.h>

namespace optpipe {
namespace {

std::string logged(std::string_view message) {
  ::testing::internal::CaptureStderr();
  set_up_log(true, Verbosity::normal);
  log::error("{}", message);
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, AMessageIsOneLine) {
  EXPECT_EQ(logged("a\nb\x1b[31m\x7f"), "optpipe: error: a\\x0ab\\x1b[31m\\x7f\n");
}

TEST(Log, TextOfAllLanguagesIsShown) { EXPECT_EQ(logged("Grüße, 東京"), "optpipe: error: Grüße, 東京\n"); }

}  // namespace
}  // namespace optpipe
