// A journal, whatever a crash has left of it: never an error, and what is taken from it is written back the
// same. The input is also taken as the text of a line with a true checksum.
#include <cstdlib>

#include "cli/journal_records.hpp"
#include "fuzz/target.hpp"

namespace {

void read_twice(std::string_view text) {
  using namespace optpipe::cli;
  const auto content = read_journal(text);
  if (content.sound_bytes > text.size()) std::abort();
  std::string again;
  for (const auto& entry : content.entries) again += journal_line(entry);
  if (read_journal(again).entries.size() != content.entries.size()) std::abort();
  if (read_journal(text.substr(0, content.sound_bytes)).entries.size() != content.entries.size())
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = optpipe::fuzz::as_text(data, size);
  read_twice(text);
  if (const auto json = nlohmann::json::parse(text, nullptr, false); json.is_object())
    read_twice(optpipe::cli::journal_line(json));
  return 0;
}
