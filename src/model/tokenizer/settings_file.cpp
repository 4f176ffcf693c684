#include "model/tokenizer/settings_file.hpp"

#include <fmt/format.h>

#include <charconv>

#include "optpipe/base/error.hpp"

namespace optpipe::model::tokenizer {

SettingsFile::SettingsFile(const std::filesystem::path& path) : path_(path) {
  std::error_code error;
  present_ = std::filesystem::exists(path, error);
  if (error) fail(error.message());
  if (!present_) return;
  json_ = Json::parse(read_text_file(path), nullptr, false);
  if (!json_.is_object()) fail("it is not a JSON object");
}

const SettingsFile::Json* SettingsFile::find(const std::string& key) const {
  const auto found = json_.find(key);
  return found == json_.end() ? nullptr : &*found;
}

bool SettingsFile::flag(const std::string& key, bool fallback) const {
  const auto* value = find(key);
  if (value == nullptr || value->is_null()) return fallback;
  if (!value->is_boolean()) fail(fmt::format("{} should be true or false", quote(key)));
  return value->get<bool>();
}

AddedToken SettingsFile::token(const std::string& key, const Json& value, bool special) const {
  AddedToken token;
  const auto* content = &value;
  if (value.is_object()) {
    const auto read = [&](const char* name, bool fallback) {
      const auto found = value.find(name);
      if (found == value.end()) return fallback;
      if (!found->is_boolean())
        fail(fmt::format("{} of {} should be true or false", quote(name), quote(key)));
      return found->get<bool>();
    };
    token.special = special || read("special", false);
    token.normalized = read("normalized", !token.special);
    token.single_word = read("single_word", false);
    token.lstrip = read("lstrip", false);
    token.rstrip = read("rstrip", false);
    const auto found = value.find("content");
    if (found == value.end()) fail(fmt::format("{} has no \"content\"", quote(key)));
    content = &*found;
  } else {
    token.special = token.plain = true;
    token.normalized = false;
  }
  if (!content->is_string())
    fail(fmt::format("{} should be a string, or an object with one as its \"content\"", quote(key)));
  token.content = content->get<std::string>();
  return token;
}

Token SettingsFile::id(const std::string& key, const Json& value) const {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= static_cast<std::uint64_t>(kMostIds))
    fail(fmt::format("the id of {} should be a whole number from 0 to {}", quote(key), kMostIds - 1));
  return value.get<Token>();
}

Token SettingsFile::id(const std::string& key, const std::string& text) const {
  Token id = -1;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (status != std::errc{} || end != text.data() + text.size() || id < 0 || id >= kMostIds)
    fail(
        fmt::format("{} in {} should be a whole number from 0 to {}", quote(text), quote(key), kMostIds - 1));
  return id;
}

void SettingsFile::fail(const std::string& why) const {
  throw InputError(fmt::format("{} cannot be used: {}; mend it or fetch it again", path_.string(), why));
}

}  // namespace optpipe::model::tokenizer
