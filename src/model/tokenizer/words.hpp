// GPT-2's cut of a text into words. A token never crosses the border of a word.
#pragma once

#include <functional>
#include <string_view>

#include "model/tokenizer/pattern.hpp"

namespace optpipe::model::tokenizer {

class WordSplitter {
 public:
  WordSplitter();

  // Calls `use` with the words of `text` (valid UTF-8), in order; they cover it. Threads may share the
  // splitter.
  void split(std::string_view text, const std::function<void(std::string_view word)>& use) const;

 private:
  Pattern pattern_;
};

}  // namespace optpipe::model::tokenizer
