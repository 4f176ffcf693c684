#include "model/tokenizer/special_tokens.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_set>

#include "model/tokenizer/settings_file.hpp"

namespace optpipe::model::tokenizer {
namespace {

using Json = SettingsFile::Json;

constexpr std::array<const char*, 7> kNames{"bos_token", "eos_token", "unk_token", "sep_token",
                                            "pad_token", "cls_token", "mask_token"};
constexpr std::array<const char*, 2> kListNames{"extra_special_tokens", "additional_special_tokens"};

class Reader {
 public:
  Reader(const std::filesystem::path& directory, Vocabulary& vocabulary)
      : vocabulary_(vocabulary),
        config_(directory / "tokenizer_config.json"),
        map_(directory / "special_tokens_map.json"),
        added_(directory / "added_tokens.json") {}

  SpecialTokens read() {
    read_named(config_);
    const auto* decoder = config_.find("added_tokens_decoder");
    const bool legacy = decoder == nullptr || decoder->is_null();
    if (legacy) read_named(map_);
    name_defaults();
    if (legacy)
      read_added_file();
    else
      read_decoder(*decoder);
    for (const auto& [id, token] : numbered_) place(token, id);
    for (const auto* name : kNames) place_named(name);
    for (const auto& token : listed_) place_unnumbered(token);
    return settle();
  }

 private:
  // bos_token and its like, and the lists of further special tokens; of two files the later holds.
  void read_named(const SettingsFile& file) {
    for (const auto* name : kNames) {
      const auto* value = file.find(name);
      if (value == nullptr) continue;
      named_[name] =
          value->is_null() ? std::nullopt : std::optional(file.token(name, *value, &file == &map_));
    }
    for (const auto* name : kListNames) {
      const auto* list = file.find(name);
      if (list == nullptr || list->is_null()) continue;
      if (!list->is_structured()) file.fail(fmt::format("{} should be a list", quote(name)));
      for (const auto& value : *list) listed_.push_back(file.token(name, value, true));
    }
  }

  void name_defaults() {
    const auto propose = [&](const char* name, const std::string& content) {
      if (named_.contains(name) || !vocabulary_.id_of(content)) return;
      AddedToken token;
      token.content = content;
      token.special = token.plain = true;
      token.normalized = false;
      named_[name] = token;
    };
    for (const auto* name : {"bos_token", "eos_token", "unk_token"}) {
      // A configuration that is silent means GPT-2's.
      if (config_.present()) propose(name, "<|endoftext|>");
      propose(name, "</s>");
    }
    if (!config_.present()) propose("pad_token", "<pad>");
  }

  void read_decoder(const Json& decoder) {
    constexpr auto kKey = "added_tokens_decoder";
    if (!decoder.is_object()) config_.fail(fmt::format("{} should be an object", quote(kKey)));
    for (const auto& [id, value] : decoder.items()) {
      if (!value.is_object())
        config_.fail(fmt::format("{} of {} should be an object", quote(id), quote(kKey)));
      number(config_, config_.token(kKey, value, false), config_.id(kKey, id));
    }
  }

  void read_added_file() {
    for (const auto& [content, id] : added_.json().items()) {
      AddedToken token;
      token.content = content;
      token.special = is_special(content);
      token.normalized = !token.special;
      number(added_, token, added_.id(content, id));
    }
  }

  bool is_named(const std::string& content) const {
    return std::any_of(named_.begin(), named_.end(),
                       [&](const auto& named) { return named.second && named.second->content == content; });
  }

  // As the names themselves say; place_unnumbered() makes all of them special.
  bool is_special(const std::string& content) const {
    const auto says_so = [&](const AddedToken& token) { return token.special && token.content == content; };
    return std::any_of(named_.begin(), named_.end(),
                       [&](const auto& named) { return named.second && says_so(*named.second); }) ||
           std::any_of(listed_.begin(), listed_.end(), says_so);
  }

  void number(const SettingsFile& file, AddedToken token, Token id) {
    token.special = token.special || is_named(token.content);
    if (const auto* other = vocabulary_.token_of(id);
        other != nullptr && *other != token.content && !vocabulary_.id_of(token.content))
      file.fail(fmt::format("token {} has id {}, which vocab.json gives to {}", quote(token.content), id,
                            quote(*other)));
    numbered_[id] = token;
    numbered_contents_.insert(token.content);
  }

  void place_named(const char* name) {
    const auto found = named_.find(name);
    if (found != named_.end() && found->second) place_unnumbered(*found->second);
  }

  void place_unnumbered(AddedToken token) {
    if (numbered_contents_.contains(token.content)) return;
    // What was said before in the same words adds nothing, and so does not undo what was said in between.
    if (std::find(said_.begin(), said_.end(), token) != said_.end()) return;
    said_.push_back(token);
    token.special = true;
    place(token, std::nullopt);
  }

  // Finds or makes the token's place in the vocabulary.
  void place(AddedToken token, std::optional<Token> wanted) {
    if (token.content.empty()) return;
    auto id = vocabulary_.id_of(token.content);
    if (!id) {
      id = wanted.value_or(vocabulary_.size());
      if (*id >= kMostIds || !vocabulary_.add(token.content, *id))
        config_.fail(fmt::format("no id is free for token {}", quote(token.content)));
    }
    token.id = *id;
    const auto [place, is_new] = places_.emplace(token.content, result_.added.size());
    if (is_new)
      result_.added.push_back(token);
    else
      result_.added[place->second] = token;
  }

  SpecialTokens settle() {
    const auto id_of = [&](const char* name) -> std::optional<Token> {
      const auto found = named_.find(name);
      if (found == named_.end() || !found->second) return std::nullopt;
      return vocabulary_.id_of(found->second->content);
    };
    // OPT's checkpoints ask for it; a folder without the file is taken for one of those.
    if (config_.flag("add_bos_token", !config_.present())) result_.begin = id_of("bos_token");
    if (config_.flag("add_eos_token", false)) result_.end = id_of("eos_token");
    result_.add_prefix_space = config_.flag("add_prefix_space", false);
    result_.split_special = config_.flag("split_special_tokens", false);
    return std::move(result_);
  }

  Vocabulary& vocabulary_;
  SettingsFile config_, map_, added_;
  std::map<std::string, std::optional<AddedToken>> named_;  // nullopt: said to be none
  std::vector<AddedToken> listed_;
  std::map<Token, AddedToken> numbered_;
  std::unordered_set<std::string> numbered_contents_;
  std::vector<AddedToken> said_;
  std::unordered_map<std::string, std::size_t> places_;  // in result_.added
  SpecialTokens result_;
};

}  // namespace

SpecialTokens read_special_tokens(const std::filesystem::path& directory, Vocabulary& vocabulary) {
  return Reader(directory, vocabulary).read();
}

}  // namespace optpipe::model::tokenizer
