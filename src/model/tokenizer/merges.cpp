#include "model/tokenizer/merges.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "model/tokenizer/byte_alphabet.hpp"
#include "model/tokenizer/utf8.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::model::tokenizer {
namespace {

// For a heap whose front is the next merge.
bool comes_later(const Merges::Scratch::Candidate& a, const Merges::Scratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

// One line of merges.txt.
class Line {
 public:
  Line(const std::filesystem::path& path, std::uint32_t number, std::string_view text)
      : path_(path), number_(number), text_(text) {}

  std::pair<std::string, std::string> parts() const {
    const auto space = text_.find(' ');
    if (space == std::string_view::npos || text_.find(' ', space + 1) != std::string_view::npos)
      fail(fmt::format("{} is not two tokens with one space between them", quote(text_)));
    return {std::string(text_.substr(0, space)), std::string(text_.substr(space + 1))};
  }
  Token id_of(const std::string& token, const Vocabulary& vocabulary) const {
    const auto id = vocabulary.id_of(token);
    if (!id) fail(fmt::format("{} is not in vocab.json", quote(token)));
    return *id;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw InputError(
        fmt::format("{} cannot be used: line {}: {}; fetch vocab.json and merges.txt of one checkpoint "
                    "again",
                    path_.string(), number_, why));
  }
  const std::filesystem::path& path_;
  std::uint32_t number_;
  std::string_view text_;
};

}  // namespace

Merges::Merges(const std::filesystem::path& path, const Vocabulary& vocabulary) {
  for (unsigned byte = 0; byte < bytes_.size(); ++byte) {
    std::string token;
    append_utf8(character_of_byte(static_cast<std::uint8_t>(byte)), token);
    bytes_[byte] = vocabulary.id_of(token).value_or(-1);
  }
  read(path, vocabulary);
}

void Merges::read(const std::filesystem::path& path, const Vocabulary& vocabulary) {
  const auto text = read_text_file(path);
  std::uint32_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const auto end = rest.find('\n');
    auto content = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (content.ends_with('\r')) content.remove_suffix(1);
    ++number;
    if (content.starts_with("#version")) continue;
    const Line line(path, number, content);
    const auto [left, right] = line.parts();
    const auto pair = pair_of(line.id_of(left, vocabulary), line.id_of(right, vocabulary));
    // Of a pair that is listed twice the later line counts, as in the tokenizers library.
    merges_[pair] = {number, line.id_of(left + right, vocabulary)};
  }
}

void Merges::encode(std::string_view word, Scratch& scratch, std::vector<Token>& ids) const {
  lay_out(word, scratch);
  const auto count = static_cast<std::int64_t>(scratch.symbols.size());
  for (std::int64_t position = 0; position + 1 < count; ++position) propose(position, scratch);
  while (!scratch.heap.empty()) {
    std::pop_heap(scratch.heap.begin(), scratch.heap.end(), comes_later);
    const auto candidate = scratch.heap.back();
    scratch.heap.pop_back();
    merge(candidate, scratch);
  }
  for (const auto& symbol : scratch.symbols)
    if (symbol.id >= 0) ids.push_back(symbol.id);
}

void Merges::lay_out(std::string_view word, Scratch& scratch) const {
  scratch.symbols.clear();
  scratch.heap.clear();
  for (const char c : word) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (bytes_[byte] < 0)
      throw InputError(
          fmt::format("vocab.json has no token for byte 0x{:02X}, which the text {} holds: a byte-level "
                      "vocabulary lists all 256; use the checkpoint's own vocab.json",
                      byte, quote(word)));
    const auto position = static_cast<std::int64_t>(scratch.symbols.size());
    scratch.symbols.push_back({bytes_[byte], position - 1, position + 1});
  }
}

// Queues the merge of the symbols at and after `position`, if it is listed.
void Merges::propose(std::int64_t position, Scratch& scratch) const {
  if (position < 0) return;
  const auto& left = scratch.symbols[static_cast<std::size_t>(position)];
  if (left.next >= static_cast<std::int64_t>(scratch.symbols.size())) return;
  const auto right = scratch.symbols[static_cast<std::size_t>(left.next)].id;
  const auto found = merges_.find(pair_of(left.id, right));
  if (found == merges_.end()) return;
  scratch.heap.push_back({found->second.rank, position, left.id, right, found->second.merged});
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), comes_later);
}

void Merges::merge(const Scratch::Candidate& candidate, Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  const auto count = static_cast<std::int64_t>(symbols.size());
  auto& left = symbols[static_cast<std::size_t>(candidate.position)];
  // Either symbol may have merged elsewhere since the candidate was queued.
  if (left.id != candidate.left || left.next >= count) return;
  auto& right = symbols[static_cast<std::size_t>(left.next)];
  if (right.id != candidate.right) return;
  left.id = candidate.merged;
  left.next = right.next;
  right.id = -1;
  if (left.next < count) symbols[static_cast<std::size_t>(left.next)].previous = candidate.position;
  propose(left.previous, scratch);
  propose(candidate.position, scratch);
}

}  // namespace optpipe::model::tokenizer
