#include "model/tokenizer/vocabulary.hpp"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "optpipe/base/error.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::model::tokenizer {
namespace {

using Json = nlohmann::json;

constexpr Bytes kMostFileBytes = 4 * kGiB;

// Takes the events of a JSON parser and admits one object of token: id and nothing else.
class VocabularyReader : public nlohmann::json_sax<Json> {
 public:
  explicit VocabularyReader(const std::filesystem::path& path) : path_(path) {}
  Vocabulary take() { return std::move(vocabulary_); }

  bool start_object(std::size_t) override {
    if (std::exchange(inside_, true)) fail_value();
    return true;
  }
  bool key(std::string& token) override {
    token_ = token;
    return true;
  }
  bool number_unsigned(std::uint64_t id) override {
    if (!inside_) fail_value();
    if (id >= static_cast<std::uint64_t>(kMostIds))
      fail(fmt::format("token {} has id {}, above {}", quote(token_), id, kMostIds - 1));
    if (vocabulary_.id_of(token_)) fail(fmt::format("token {} is listed twice", quote(token_)));
    const auto* taken = vocabulary_.token_of(static_cast<Token>(id));
    if (taken != nullptr) fail(fmt::format("tokens {} and {} share id {}", quote(*taken), quote(token_), id));
    vocabulary_.add(token_, static_cast<Token>(id));
    return true;
  }
  bool end_object() override { return true; }
  bool null() override { fail_value(); }
  bool boolean(bool) override { fail_value(); }
  bool number_integer(std::int64_t) override { fail_value(); }
  bool number_float(double, const std::string&) override { fail_value(); }
  bool string(std::string&) override { fail_value(); }
  bool binary(Json::binary_t&) override { fail_value(); }
  bool start_array(std::size_t) override { fail_value(); }
  bool end_array() override { fail_value(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail(fmt::format("it is not valid JSON (byte {})", position));
  }

 private:
  [[noreturn]] void fail_value() const {
    if (!inside_) fail("it is not a JSON object of token: id");
    fail(
        fmt::format("the id of token {} should be a whole number from 0 to {}", quote(token_), kMostIds - 1));
  }
  [[noreturn]] void fail(const std::string& why) const {
    throw InputError(fmt::format("{} cannot be used: {}; fetch the file again", path_.string(), why));
  }

  std::filesystem::path path_;
  Vocabulary vocabulary_;
  std::string token_;
  bool inside_ = false;
};

}  // namespace

std::optional<Token> Vocabulary::id_of(const std::string& token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const std::string* Vocabulary::token_of(Token id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : found->second;
}

bool Vocabulary::add(const std::string& token, Token id) {
  if (tokens_.contains(id)) return false;
  const auto [place, is_new] = ids_.emplace(token, id);
  if (!is_new) return false;
  tokens_.emplace(id, &place->first);
  size_ = std::max(size_, id + 1);
  return true;
}

Vocabulary read_vocabulary(const std::filesystem::path& path) {
  const auto text = read_text_file(path);
  VocabularyReader reader(path);
  Json::sax_parse(text, &reader);
  auto vocabulary = reader.take();
  if (vocabulary.size() == 0)
    throw InputError(
        fmt::format("{} cannot be used: it lists no tokens; fetch the file again", path.string()));
  return vocabulary;
}

std::string read_text_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file)
    throw InputError(
        fmt::format("cannot open {}: the tokenizer needs vocab.json and merges.txt as the Hub ships them "
                    "(tokenizer.json is not read); put them into the checkpoint's folder",
                    path.string()));
  if (size > kMostFileBytes)
    throw InputError(
        fmt::format("{} cannot be used: {} are too much for a tokenizer's file; fetch the file again",
                    path.string(), format_bytes(size)));
  std::string text(size, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(size)))
    throw InputError(fmt::format("cannot read {}: fewer bytes came than its size says; fetch the file again",
                                 path.string()));
  return text;
}

std::string quote(std::string_view text) {
  constexpr std::size_t kMost = 60;
  std::string shown(text.substr(0, kMost));
  if (text.size() > kMost) shown += "...";
  return Json(shown).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace optpipe::model::tokenizer
