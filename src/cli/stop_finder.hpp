// Finds where a growing text first holds one of some strings, at a cost per token that does not grow with it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace optpipe::cli {

class StopFinder {
 public:
  using Decoder = std::function<std::string(std::span<const std::int32_t> tokens)>;

  // What is known of one text; starts empty.
  struct State {
    std::size_t settled_tokens = 0;  // their text is final: no later token changes it
    std::size_t settled_bytes = 0;
    std::string tail;  // the end of the settled text, as long as a stop string that has only begun can be
  };

  // `strings` are UTF-8 and none is empty. `decode` gives the text of tokens, U+FFFD for invalid bytes.
  StopFinder(std::vector<std::string> strings, Decoder decode);

  // `tokens`: the text's so far, one more than at the last call with this state. Returns the offset in their
  // decoded text, in bytes, where the first stop string begins, if there is one. A character that ends in the
  // middle is not looked at before the token that completes it.
  std::optional<std::size_t> find(State& state, std::span<const std::int32_t> tokens) const;

 private:
  std::vector<std::string> strings_;
  Decoder decode_;
  std::size_t longest_ = 0;
};

}  // namespace optpipe::cli
