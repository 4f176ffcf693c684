#include "model/checkpoint/pickle_input.hpp"

#include <fmt/format.h>

#include "model/checkpoint/byte_views.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::model::pickle {

std::string_view Input::take(std::uint64_t count) {
  if (count > rest_.size()) fail("it ends early");
  const auto taken = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return taken;
}

std::string_view Input::line() {
  const auto end = rest_.find('\n');
  if (end == std::string_view::npos) fail("it ends early");
  const auto taken = take(end);
  take(1);
  return taken;
}

std::uint64_t Input::number(std::size_t bytes) { return little_endian(take(bytes)); }

std::int64_t Input::signed_number(std::uint64_t bytes) {
  if (bytes > 8) fail("it holds a number beyond 64 bits");
  if (bytes == 0) return 0;
  const auto unused = static_cast<unsigned>(64 - 8 * bytes);
  return static_cast<std::int64_t>(number(bytes) << unused) >> unused;
}

void Input::fail(const std::string& why) const {
  throw InputError(fmt::format("{} cannot be used: as a pickle {}", source_, why));
}

}  // namespace optpipe::model::pickle
