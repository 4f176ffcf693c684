#include "support/golden.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace optpipe::test {
namespace fs = std::filesystem;

std::vector<std::int64_t> Golden::new_tokens() const {
  std::vector<std::int64_t> counts;
  for (const auto& of_prompt : tokens) counts.push_back(static_cast<std::int64_t>(of_prompt.size()));
  return counts;
}

double Golden::logit_spread(std::size_t prompt) const {
  double sum = 0, squares = 0;
  for (const double logit : first_logits[prompt]) sum += logit, squares += logit * logit;
  const auto n = static_cast<double>(first_logits[prompt].size());
  return std::sqrt(squares / n - sum * sum / (n * n));
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(OPTPIPE_TEST_DATA) / "golden"))
    if (fs::exists(entry.path() / "golden.json")) names.push_back(entry.path().filename());
  if (names.empty()) throw std::runtime_error("no goldens in tests/data/golden");
  std::ranges::sort(names);
  return names;
}

Golden load_golden(const std::string& name) {
  Golden golden;
  golden.model = fs::path(OPTPIPE_TEST_DATA) / "golden" / name;
  std::ifstream file(golden.model / "golden.json");
  const auto json = nlohmann::json::parse(file);
  json.at("prompts").get_to(golden.prompts);
  json.at("tokens").get_to(golden.tokens);
  json.at("first_logits").get_to(golden.first_logits);
  json.at("margins").get_to(golden.margins);
  return golden;
}

double relative_error(const std::vector<float>& values, const std::vector<float>& expected) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(values[i] - expected[i], 2);
    norm += std::pow(expected[i], 2);
  }
  return std::sqrt(difference / norm);
}

}  // namespace optpipe::test
