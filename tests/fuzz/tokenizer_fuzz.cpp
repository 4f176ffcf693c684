// The input holds the tokenizer's files, each after a line "--- NAME", and after "--- text" a text to encode.
#include <array>
#include <optional>

#include "fuzz/target.hpp"
#include "optpipe/model/tokenizer.hpp"

namespace {

constexpr std::array<std::string_view, 5> kFiles{"vocab.json", "merges.txt", "tokenizer_config.json",
                                                 "special_tokens_map.json", "added_tokens.json"};

// What follows the line "--- NAME", up to the next such line or the end.
std::optional<std::string_view> section(std::string_view input, std::string_view name) {
  const auto heading = "--- " + std::string(name) + "\n";
  const auto begin = input.find(heading);
  if (begin == std::string_view::npos) return std::nullopt;
  const auto content = input.substr(begin + heading.size());
  return content.substr(0, content.find("\n--- "));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace optpipe;
  const auto input = fuzz::as_text(data, size);
  for (const auto name : kFiles) {
    std::error_code ignored;
    if (const auto content = section(input, name))
      fuzz::write_scratch(name, *content);
    else
      std::filesystem::remove(fuzz::scratch_folder() / name, ignored);
  }
  fuzz::expect_answer_or_error([&] {
    const model::Tokenizer tokenizer(fuzz::scratch_folder());
    const auto tokens = tokenizer.encode(section(input, "text").value_or("a b"));
    tokenizer.decode(tokens);
    tokenizer.decode(tokens, false);
  });
  return 0;
}
