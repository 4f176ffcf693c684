// What Hugging Face transformers computes on the fixtures of tests/data/golden (made by
// tools/make_golden.py).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace optpipe::test {

struct Golden {
  std::filesystem::path model;
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<std::vector<std::int32_t>> tokens;  // greedy, [prompt][new token]
  std::vector<std::vector<float>> first_logits;   // [prompt][V]
  std::vector<std::vector<float>> margins;        // [prompt][new token]: largest logit less the second

  std::vector<std::int64_t> new_tokens() const;
  double logit_spread(std::size_t prompt) const;  // standard deviation of the first logits
};

std::vector<std::string> golden_names();  // folders with a config.json and a golden.json; at least one
Golden load_golden(const std::string& name);

double relative_error(const std::vector<float>& values,
                      const std::vector<float>& expected);  // ‖values - expected‖ / ‖expected‖

// A fixture's name as GoogleTest wants names.
template <class Info>
std::string identifier(const Info& info) {
  std::string name = info.param;
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
}

}  // namespace optpipe::test
