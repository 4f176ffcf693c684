// The lines of a journal: CRC-32 of the JSON text in eight hex digits, a space, the JSON text, a newline.
// Every line stands for itself, so that what a torn write leaves can be told from what holds.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace optpipe::cli {

struct JournalEntry {
  std::int64_t prompt = 0;           // position in the input
  std::vector<std::int32_t> tokens;  // all new ones
};

std::string journal_line(const nlohmann::json& json);
std::string journal_line(const JournalEntry& entry);

struct JournalContent {
  nlohmann::json run;                 // what the first line says of the run; null where there is no such line
  std::vector<JournalEntry> entries;  // of lines that hold, in their order
  std::size_t sound_bytes = 0;        // up to the end of the last line that holds
  std::size_t broken_lines = 0;       // before that: passed over
};

// Never fails: what does not hold is not there.
JournalContent read_journal(std::string_view text);

}  // namespace optpipe::cli
