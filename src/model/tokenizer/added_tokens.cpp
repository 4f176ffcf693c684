#include "model/tokenizer/added_tokens.hpp"

#include <algorithm>

#include "model/tokenizer/utf8.hpp"

namespace optpipe::model::tokenizer {
namespace {

// Not beyond `least`.
std::size_t skip_white_space_back(std::string_view text, std::size_t offset, std::size_t least) {
  while (offset > least) {
    const auto before = previous_offset(text, offset);
    if (!is_white_space(character_at(text, before).code_point)) break;
    offset = before;
  }
  return offset;
}

std::size_t skip_white_space(std::string_view text, std::size_t offset) {
  while (offset < text.size()) {
    const auto character = character_at(text, offset);
    if (!is_white_space(character.code_point)) break;
    offset += character.length;
  }
  return offset;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(const SpecialTokens& special) : split_special_(special.split_special) {
  for (const auto& token : special.added) {
    auto& group = token.normalized ? normalized_ : literal_;
    group[static_cast<std::uint8_t>(token.content.front())].push_back(token);
    // The word characters of Unicode's annex on regular expressions.
    if (token.single_word && !word_character_)
      word_character_.emplace("[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200C}\\x{200D}]");
  }
  for (auto* group : {&literal_, &normalized_})
    for (auto& same_first : *group)
      std::stable_sort(same_first.begin(), same_first.end(), [](const AddedToken& a, const AddedToken& b) {
        return a.content.size() > b.content.size();
      });
}

std::vector<Stretch> AddedTokenFinder::split(std::string_view text) const {
  std::vector<Stretch> first, all;
  split(literal_, text, first);
  for (const auto& stretch : first) {
    if (stretch.token < 0)
      split(normalized_, stretch.text, all);
    else
      all.push_back(stretch);
  }
  return all;
}

const AddedToken* AddedTokenFinder::longest_at(const Tokens& tokens, std::string_view text,
                                               std::size_t offset) const {
  for (const auto& token : tokens[static_cast<std::uint8_t>(text[offset])])
    if (text.substr(offset).starts_with(token.content)) return &token;
  return nullptr;
}

bool AddedTokenFinder::stands_alone(std::string_view text, std::size_t begin, std::size_t end) const {
  Pattern::Matcher matcher(*word_character_);
  if (begin > 0 && matcher.match_at(text, previous_offset(text, begin)) > 0) return false;
  return end == text.size() || matcher.match_at(text, end) == 0;
}

void AddedTokenFinder::split(const Tokens& tokens, std::string_view text,
                             std::vector<Stretch>& stretches) const {
  std::size_t done = 0;  // what lies before is in `stretches`
  for (std::size_t offset = 0; offset < text.size();) {
    const auto* token = longest_at(tokens, text, offset);
    if (token == nullptr) {
      ++offset;
      continue;
    }
    auto begin = offset;
    auto end = offset += token->content.size();
    // A match that does not count hides shorter ones all the same, as in the tokenizers library.
    if (token->special && split_special_) continue;
    if (token->single_word && !stands_alone(text, begin, end)) continue;
    if (token->lstrip) begin = std::max(skip_white_space_back(text, begin, done), done);
    if (token->rstrip) end = skip_white_space(text, end);
    if (begin >= end) continue;  // the token before it took all of it, being white space
    if (done < begin) stretches.push_back({text.substr(done, begin - done)});
    stretches.push_back({text.substr(begin, end - begin), token->id});
    done = end;
  }
  if (done < text.size()) stretches.push_back({text.substr(done)});
}

}  // namespace optpipe::model::tokenizer
