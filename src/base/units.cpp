#include "optpipe/base/units.hpp"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include "optpipe/base/error.hpp"

namespace optpipe {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};
constexpr std::array<Unit, 13> kUnits{{{"", 1},
                                       {"b", 1},
                                       {"k", 0x1p10},
                                       {"m", 0x1p20},
                                       {"g", 0x1p30},
                                       {"kib", 0x1p10},
                                       {"mib", 0x1p20},
                                       {"gib", 0x1p30},
                                       {"tib", 0x1p40},
                                       {"kb", 1e3},
                                       {"mb", 1e6},
                                       {"gb", 1e9},
                                       {"tb", 1e12}}};

}  // namespace

Bytes parse_bytes(std::string_view text) {
  double number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit_text = text.substr(static_cast<std::size_t>(end - text.data()));
  if (unit_text.size() > 1 && unit_text.front() == ' ') unit_text.remove_prefix(1);
  std::string suffix;
  for (const char c : unit_text) suffix += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const auto& unit : kUnits) {
    if (status != std::errc{} || unit.name != suffix) continue;
    const double bytes = number * unit.factor;
    if (bytes >= 0 && bytes < 0x1p63) return static_cast<Bytes>(std::llround(bytes));
  }
  throw UsageError(
      fmt::format("'{}' is not a size: write a number and a unit, such as 16GiB or 800MB", text));
}

std::string format_bytes(Bytes bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= kGiB) return fmt::format("{:.3f} GiB", value / static_cast<double>(kGiB));
  if (bytes >= kMiB) return fmt::format("{:.1f} MiB", value / static_cast<double>(kMiB));
  if (bytes >= kKiB) return fmt::format("{:.1f} KiB", value / static_cast<double>(kKiB));
  return fmt::format("{} B", bytes);
}

std::uint64_t checked_multiply(std::uint64_t a, std::uint64_t b, std::string_view what) {
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product))
    throw InputError(fmt::format("{}: {} x {} is beyond any real size", what, a, b));
  return product;
}

std::uint64_t checked_add(std::uint64_t a, std::uint64_t b, std::string_view what) {
  std::uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum))
    throw InputError(fmt::format("{}: {} + {} is beyond any real size", what, a, b));
  return sum;
}

}  // namespace optpipe
