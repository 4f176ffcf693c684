// A file of prompts, up to token ids.
#include <cstdlib>
#include <sstream>

#include "cli/generation.hpp"
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace optpipe;
  static const model::Tokenizer tokenizer(OPTPIPE_TEST_DATA "/tokenizer");
  static const auto config = model::config_of_size("opt-125m");
  for (const auto bad : {cli::BadPrompts::refuse, cli::BadPrompts::report})
    fuzz::expect_answer_or_error([&] {
      std::istringstream lines{std::string(fuzz::as_text(data, size))};
      auto prompts = cli::read_prompts(lines, "prompts.jsonl", bad);
      const cli::Generation generation(std::move(prompts), &tokenizer, config, {}, 32, bad);
      for (const auto& sequence : generation.sequences())
        if (sequence.new_tokens < 1) std::abort();
      for (std::size_t i = 0; i < generation.size(); ++i)
        cli::to_line(generation.source(i),
                     generation.source(i).error ? cli::Completion{} : generation.completion(i));
    });
  return 0;
}
