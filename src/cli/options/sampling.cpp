#include <fmt/format.h>

#include <charconv>

#include "cli/options/groups.hpp"

namespace optpipe::cli {

std::string check_seed(const std::string& text) {
  std::uint64_t seed = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), seed);
  const bool whole = status == std::errc{} && end == text.data() + text.size();
  return whole ? "" : fmt::format("{} is no whole number from 0 to 2^64 - 1", text);
}

void add_sampling_options(CLI::App& app, kernels::SamplingOptions& o) {
  app.add_flag("--do-sample", o.sample, "Draw tokens by their probability instead of taking the likeliest")
      ->group(kSamplingGroup);
  app.add_option("--temperature", o.temperature, "Divides the logits before the draw")
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--top-k", o.top_k, "Draw among the k likeliest only (0: all)")
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--top-p", o.top_p, "Draw among the likeliest that together reach this probability")
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--seed", o.seed,
                 "Seed of the draws; the same seed gives the same tokens, whatever the placement")
      ->check(check_seed, "")
      ->capture_default_str()
      ->group(kSamplingGroup);
}

}  // namespace optpipe::cli
