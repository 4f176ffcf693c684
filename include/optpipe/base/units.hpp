// Byte sizes: parsing, printing, and arithmetic that refuses to overflow.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace optpipe {

using Bytes = std::uint64_t;

inline constexpr Bytes kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;

// "16GiB", "512 MiB", "4096", "1.5GiB"; also the decimal KB, MB, GB, TB. Throws UsageError otherwise.
Bytes parse_bytes(std::string_view text);

// "55.803 GiB", "252.0 MiB", "17 B".
std::string format_bytes(Bytes bytes);

// a·b and a+b; throw InputError naming `what` where the result leaves 64 bits. For sizes that come from
// files.
std::uint64_t checked_multiply(std::uint64_t a, std::uint64_t b, std::string_view what);
std::uint64_t checked_add(std::uint64_t a, std::uint64_t b, std::string_view what);

constexpr Bytes round_up(Bytes bytes, Bytes multiple) { return (bytes + multiple - 1) / multiple * multiple; }

}  // namespace optpipe
