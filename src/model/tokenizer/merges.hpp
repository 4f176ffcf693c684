// merges.txt, and the merging of a word's bytes into tokens.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/tokenizer/vocabulary.hpp"

namespace optpipe::model::tokenizer {

class Merges {
 public:
  // Reads merges.txt. Throws InputError with the line number for what is malformed or not in the vocabulary.
  Merges(const std::filesystem::path& path, const Vocabulary& vocabulary);

  // One thread's working memory, kept from word to word.
  struct Scratch {
    struct Symbol {
      Token id;  // -1: merged into the symbol before it
      std::int64_t previous, next;
    };
    struct Candidate {
      std::uint32_t rank;
      std::int64_t position;  // of the left symbol
      Token left, right, merged;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // Appends the ids of `word`: neighbours merge, the earliest line of merges.txt first and then the leftmost,
  // until no pair is listed. Takes n log n steps for n bytes. Throws InputError for a byte that the
  // vocabulary lacks.
  void encode(std::string_view word, Scratch& scratch, std::vector<Token>& ids) const;

 private:
  struct Merge {
    std::uint32_t rank;
    Token merged;
  };
  struct PairHash {
    std::size_t operator()(std::uint64_t pair) const noexcept {
      pair *= 0x9E3779B97F4A7C15u;
      return static_cast<std::size_t>(pair ^ pair >> 32);
    }
  };
  static std::uint64_t pair_of(Token left, Token right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }
  void read(const std::filesystem::path& path, const Vocabulary& vocabulary);
  void lay_out(std::string_view word, Scratch& scratch) const;
  void propose(std::int64_t position, Scratch& scratch) const;
  void merge(const Scratch::Candidate& candidate, Scratch& scratch) const;

  std::array<Token, 256> bytes_{};  // -1: not in the vocabulary
  std::unordered_map<std::uint64_t, Merge, PairHash> merges_;
};

}  // namespace optpipe::model::tokenizer
