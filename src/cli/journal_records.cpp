#include "cli/journal_records.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <charconv>
#include <limits>

namespace optpipe::cli {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kChecksumDigits = 8;

std::uint32_t checksum(std::string_view text) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<z_size_t>(text.size())));
}

// The JSON of a line without its newline; nothing where the line does not hold.
std::optional<Json> parse(std::string_view line) {
  if (line.size() <= kChecksumDigits || line[kChecksumDigits] != ' ') return std::nullopt;
  std::uint32_t expected = 0;
  const auto digits_end = line.data() + kChecksumDigits;
  const auto [end, status] = std::from_chars(line.data(), digits_end, expected, 16);
  const auto text = line.substr(kChecksumDigits + 1);
  if (status != std::errc{} || end != digits_end || checksum(text) != expected) return std::nullopt;
  auto json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

std::optional<JournalEntry> entry_of(const Json& json) {
  constexpr auto kLargestToken = std::numeric_limits<std::int32_t>::max();
  const auto prompt = json.find("prompt"), tokens = json.find("tokens");
  if (prompt == json.end() || !prompt->is_number_integer() || tokens == json.end() || !tokens->is_array())
    return std::nullopt;
  JournalEntry entry{prompt->get<std::int64_t>(), {}};
  for (const Json& token : *tokens) {
    if (!token.is_number_unsigned() || token.get<std::uint64_t>() > kLargestToken) return std::nullopt;
    entry.tokens.push_back(token.get<std::int32_t>());
  }
  return entry;
}

// Enters a line; false where it does not hold.
bool enter(std::string_view line, JournalContent& content) {
  const auto json = parse(line);
  if (!json) return false;
  if (const auto run = json->find("run"); run != json->end()) {
    content.run = *run;
    return true;
  }
  auto entry = entry_of(*json);
  if (!entry) return false;
  content.entries.push_back(std::move(*entry));
  return true;
}

}  // namespace

std::string journal_line(const Json& json) {
  const auto text = json.dump();
  return fmt::format("{:08x} {}\n", checksum(text), text);
}

std::string journal_line(const JournalEntry& entry) {
  return journal_line(Json{{"prompt", entry.prompt}, {"tokens", entry.tokens}});
}

JournalContent read_journal(std::string_view text) {
  JournalContent content;
  std::size_t broken = 0;  // since the last line that holds
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string_view::npos;
       begin = end + 1) {
    if (!enter(text.substr(begin, end - begin), content)) {
      ++broken;
      continue;
    }
    content.sound_bytes = end + 1;
    content.broken_lines += std::exchange(broken, 0);
  }
  return content;
}

}  // namespace optpipe::cli
