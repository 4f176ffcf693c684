#include "model/tokenizer/words.hpp"

#include <fmt/format.h>

#include "optpipe/base/check.hpp"

namespace optpipe::model::tokenizer {
namespace {

// English contractions; letters, numbers, or other characters, each with one space in front; white space,
// which leaves its last character to a word that follows. Possessive where giving characters back could not
// help. What is a letter or a number follows the Unicode version of the PCRE2 library: characters of a later
// version count as others.
std::string word_expression() {
  return fmt::format(
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}++| ?\p{{N}}++| ?[^{0}\p{{L}}\p{{N}}]++|[{0}]+(?![^{0}])|[{0}]++)",
      white_space_class());
}

}  // namespace

WordSplitter::WordSplitter() : pattern_(word_expression()) {}

void WordSplitter::split(std::string_view text, const std::function<void(std::string_view)>& use) const {
  Pattern::Matcher matcher(pattern_);
  for (std::size_t offset = 0; offset < text.size();) {
    const auto length = matcher.match_at(text, offset);
    OPTPIPE_CHECK(length > 0, "no word at byte {} of {}", offset, text.size());
    use(text.substr(offset, length));
    offset += length;
  }
}

}  // namespace optpipe::model::tokenizer
