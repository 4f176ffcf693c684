// Prompts in and results out, as JSON lines.
#pragma once

#include <cstdint>
#include <functional>
#include <istream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace optpipe::cli {

struct Prompt {
  nlohmann::json id;                             // as it came; the position where there is none
  std::string origin;                            // for messages: "prompts.jsonl:17", "--prompt 1"
  std::optional<std::string> text;               // either the text
  std::vector<std::int32_t> tokens;              // or its tokens
  std::optional<std::int64_t> max_new_tokens{};  // of this prompt, if the line says so
  std::optional<std::string> error{};            // why nothing can be generated for it
};

// What becomes of a prompt that is wrong: it ends the run, or it becomes an entry that says why.
enum class BadPrompts : std::uint8_t { refuse, report };

// One prompt a line; empty lines are passed over. Throws InputError with file and line for whatever is wrong
// in one, if bad prompts are to be refused, and in any case for a line that has no end.
std::vector<Prompt> read_prompts(std::istream& lines, const std::string& name, BadPrompts bad);
std::vector<Prompt> prompts_from_texts(const std::vector<std::string>& texts);

struct Completion {
  std::optional<std::string> text;
  std::vector<std::int32_t> tokens;  // new ones
  bool stopped = false;              // by an end-of-text token or a stop string, not by length
};

// {"id", "text", "tokens", "finish_reason"} on one line; {"id", "error"} for a prompt that is wrong.
std::string to_line(const Prompt& prompt, const Completion& completion);

}  // namespace optpipe::cli
