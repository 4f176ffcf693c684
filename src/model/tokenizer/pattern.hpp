// A compiled regular expression (PCRE2, in UTF mode).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace optpipe::model::tokenizer {

class Pattern {
 public:
  explicit Pattern(const std::string& expression);
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  // Matches of one thread; the pattern outlives it, and any number of threads may share the pattern.
  class Matcher {
   public:
    explicit Matcher(const Pattern& pattern);
    ~Matcher();
    Matcher(Matcher&&) noexcept;

    // Bytes of the match that begins at `offset` of `text`, which is valid UTF-8; 0 where none does. Throws
    // SystemError where PCRE2 gives up.
    std::size_t match_at(std::string_view text, std::size_t offset);

   private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
  };

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Unicode's White_Space, as it stands inside [ ] of an expression.
std::string white_space_class();

}  // namespace optpipe::model::tokenizer
