// A JSON object of a tokenizer's settings: typed access with messages that name the file and the key.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "model/tokenizer/special_tokens.hpp"

namespace optpipe::model::tokenizer {

class SettingsFile {
 public:
  using Json = nlohmann::json;

  // An absent file is as an empty object.
  explicit SettingsFile(const std::filesystem::path& path);

  bool present() const { return present_; }
  const Json& json() const { return json_; }
  const Json* find(const std::string& key) const;  // nullptr: absent
  bool flag(const std::string& key, bool fallback) const;

  // The token that `value` spells: a string (which is special), or an object with content and flags, where
  // `special` holds if it does not say. `key` is for messages.
  AddedToken token(const std::string& key, const Json& value, bool special) const;

  // The id that `value` (a number) or `text` (a number in digits) is.
  Token id(const std::string& key, const Json& value) const;
  Token id(const std::string& key, const std::string& text) const;

  [[noreturn]] void fail(const std::string& why) const;

 private:
  std::filesystem::path path_;
  Json json_ = Json::object();
  bool present_ = false;
};

}  // namespace optpipe::model::tokenizer
