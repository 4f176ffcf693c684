#include "optpipe/base/units.hpp"

#include <gtest/gtest.h>

#include "optpipe/base/error.hpp"

namespace optpipe {
namespace {

TEST(Units, ParsesSizes) {
  EXPECT_EQ(parse_bytes("16GiB"), 16 * kGiB);
  EXPECT_EQ(parse_bytes("512 MiB"), 512 * kMiB);
  EXPECT_EQ(parse_bytes("1.5gib"), 3 * kGiB / 2);
  EXPECT_EQ(parse_bytes("4096"), 4096u);
  EXPECT_EQ(parse_bytes("2GB"), 2'000'000'000u);
  EXPECT_EQ(parse_bytes("64k"), 64 * kKiB);
}

TEST(Units, RefusesWhatIsNoSize) {
  for (const char* text : {"", "GiB", "-1GiB", "12 parsecs", "nan", "inf", "1e300", "12GiBB", "0x10", " 5GiB",
                           "5GiB ", "5  GiB", "5G iB", "5 ", "+5GiB", "1e19", "1,5GiB", "16GiB16GiB"})
    EXPECT_THROW(parse_bytes(text), UsageError) << text;
}

TEST(Units, PrintsSizes) {
  EXPECT_EQ(format_bytes(17), "17 B");
  EXPECT_EQ(format_bytes(252 * kMiB), "252.0 MiB");
  EXPECT_EQ(format_bytes(59'918'057'472), "55.803 GiB");
}

TEST(Units, ArithmeticDoesNotOverflow) {
  EXPECT_EQ(checked_multiply(1u << 20, 1u << 20, "x"), std::uint64_t{1} << 40);
  EXPECT_THROW(checked_multiply(std::uint64_t{1} << 33, std::uint64_t{1} << 33, "x"), InputError);
  EXPECT_THROW(checked_add(~std::uint64_t{0}, 1, "x"), InputError);
}

}  // namespace
}  // namespace optpipe
