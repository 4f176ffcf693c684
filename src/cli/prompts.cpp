#include "cli/prompts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongestLine = std::size_t{64} << 20;  // far beyond any model's positions
constexpr std::uint64_t kLargestToken = std::numeric_limits<std::int32_t>::max();
constexpr std::uint64_t kMostNewTokens = std::uint64_t{1} << 24;

[[noreturn]] void refuse(const std::string& origin, const std::string& why) {
  throw InputError(
      fmt::format(R"({}: {}; a line is {{"id": ..., "prompt": "text"}} or {{"id": ..., "tokens": [2, 100]}})",
                  origin, why));
}

std::vector<std::int32_t> read_tokens(const Json& list, const std::string& origin) {
  if (!list.is_array() || list.empty())
    refuse(origin, "\"tokens\" should be a list of at least one token id");
  std::vector<std::int32_t> tokens;
  for (const Json& item : list) {
    if (!item.is_number_unsigned() || item.get<std::uint64_t>() > kLargestToken)
      refuse(origin, "\"tokens\" should hold token ids (whole numbers from 0)");
    tokens.push_back(item.get<std::int32_t>());
  }
  return tokens;
}

Json parse(const std::string& line, const std::string& origin) {
  try {
    return Json::parse(line);
  } catch (const Json::parse_error& error) {
    const bool bytes = std::string_view(error.what()).find("UTF-8") != std::string_view::npos;
    refuse(origin,
           fmt::format("this is not {} at byte {} of the line", bytes ? "UTF-8" : "JSON", error.byte));
  } catch (const Json::out_of_range&) {
    refuse(origin, "it holds a number that is too large for any computer");
  }
}

Prompt read_prompt(const std::string& line, const std::string& origin, std::size_t position) {
  const Json json = parse(line, origin);
  if (!json.is_object()) refuse(origin, "this is not a JSON object");
  const bool has_text = json.contains("prompt"), has_tokens = json.contains("tokens");
  if (has_text == has_tokens)
    refuse(origin,
           has_text ? "it has both \"prompt\" and \"tokens\"" : "it has neither \"prompt\" nor \"tokens\"");
  Prompt prompt{json.value("id", Json(position)), origin, {}, {}, {}};
  if (has_tokens) {
    prompt.tokens = read_tokens(json["tokens"], origin);
  } else {
    if (!json["prompt"].is_string()) refuse(origin, "\"prompt\" should be a string");
    prompt.text = json["prompt"].get<std::string>();
  }
  if (const auto limit = json.find("max_new_tokens"); limit != json.end()) {
    if (!limit->is_number_unsigned() || *limit == 0u)
      refuse(origin, "\"max_new_tokens\" should be a whole number from 1");
    prompt.max_new_tokens = static_cast<std::int64_t>(std::min(limit->get<std::uint64_t>(), kMostNewTokens));
  }
  return prompt;
}

// In place of a line that cannot be used: the id is the line's, where that much can be read.
Prompt unusable_prompt(const std::string& line, const std::string& origin, std::size_t position,
                       const std::string& why) {
  const Json json = Json::parse(line, nullptr, false);
  Prompt prompt{Json(position), origin, {}, {}, {}};
  if (json.is_object() && json.contains("id")) prompt.id = json["id"];
  prompt.error = why;
  return prompt;
}

// The next line without its end; false where there is none.
bool next_line(std::istream& lines, std::string& line, const std::string& origin) {
  line.clear();
  char character = 0;
  while (lines.get(character) && character != '\n') {
    line.push_back(character);
    if (line.size() > kLongestLine)
      refuse(origin, fmt::format("the line is longer than {} MiB", kLongestLine >> 20));
  }
  return !lines.fail() || !line.empty();
}

}  // namespace

std::vector<Prompt> read_prompts(std::istream& lines, const std::string& name, BadPrompts bad) {
  std::vector<Prompt> prompts;
  std::string line;
  for (std::size_t number = 1;; ++number) {
    const std::string origin = fmt::format("{}:{}", name, number);
    if (!next_line(lines, line, origin)) break;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      prompts.push_back(read_prompt(line, origin, prompts.size()));
    } catch (const InputError& error) {
      if (bad == BadPrompts::refuse) throw;
      prompts.push_back(unusable_prompt(line, origin, prompts.size(), error.what()));
    }
  }
  if (lines.bad()) throw InputError(fmt::format("{} cannot be read to its end", name));
  return prompts;
}

std::vector<Prompt> prompts_from_texts(const std::vector<std::string>& texts) {
  std::vector<Prompt> prompts;
  for (std::size_t i = 0; i < texts.size(); ++i)
    prompts.push_back({Json(i), fmt::format("--prompt {}", i + 1), texts[i], {}, {}});
  return prompts;
}

std::string to_line(const Prompt& prompt, const Completion& completion) {
  nlohmann::ordered_json json;
  json["id"] = prompt.id;
  if (prompt.error) {
    json["error"] = *prompt.error;
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }
  json["text"] = completion.text ? nlohmann::ordered_json(*completion.text) : nlohmann::ordered_json(nullptr);
  json["tokens"] = completion.tokens;
  json["finish_reason"] = completion.stopped ? "stop" : "length";
  return json.dump();
}

}  // namespace optpipe::cli
