#include "cli/stop_finder.hpp"

#include <algorithm>

namespace optpipe::cli {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// The part of `text` that stays, whatever comes: U+FFFD at its end may stand for bytes that the next token
// completes.
std::string_view settled_part(std::string_view text) {
  while (text.ends_with(kReplacement)) text.remove_suffix(kReplacement.size());
  return text;
}

}  // namespace

StopFinder::StopFinder(std::vector<std::string> strings, Decoder decode)
    : strings_(std::move(strings)), decode_(std::move(decode)) {
  for (const std::string& stop : strings_) longest_ = std::max(longest_, stop.size());
}

std::optional<std::size_t> StopFinder::find(State& state, std::span<const std::int32_t> tokens) const {
  if (strings_.empty()) return std::nullopt;
  const std::string newest = decode_(tokens.subspan(state.settled_tokens));
  const std::string_view settled = settled_part(newest);
  std::string window = state.tail;
  window += settled;
  std::size_t first = std::string::npos;
  for (const std::string& stop : strings_) first = std::min(first, window.find(stop));
  if (first != std::string::npos) return state.settled_bytes - state.tail.size() + first;
  if (settled.size() < newest.size()) return std::nullopt;
  state.settled_tokens = tokens.size();
  state.settled_bytes += newest.size();
  if (window.size() >= longest_) window.erase(0, window.size() - longest_ + 1);
  state.tail = std::move(window);
  return std::nullopt;
}

}  // namespace optpipe::cli
