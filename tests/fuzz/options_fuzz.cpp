// The command line: a word a line. Lists (--percent, --stage-layers, --gpu-map) and sizes come from users'
// scripts.
#include <sstream>
#include <vector>

#include "cli/options.hpp"
#include "fuzz/target.hpp"
#include "optpipe/base/units.hpp"
#include "optpipe/model/slice.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace optpipe;
  std::vector<std::string> words{"optpipe"};
  std::istringstream lines{std::string(fuzz::as_text(data, size))};
  for (std::string line; std::getline(lines, line);)
    words.push_back(line.substr(0, line.find('\0')));  // as the system hands them over
  fuzz::expect_answer_or_error([&] { parse_bytes(words.back()); });
  std::vector<const char*> argv;
  for (const auto& word : words) argv.push_back(word.c_str());
  fuzz::expect_answer_or_error([&] {
    const auto parsed = cli::parse_command_line(static_cast<int>(argv.size()), argv.data());
    if (parsed.options.generate && !parsed.options.generate->run.stage_layers.empty())
      model::cut_stages(model::config_of_size("opt-125m"), parsed.options.generate->run.stage_layers);
  });
  return 0;
}
