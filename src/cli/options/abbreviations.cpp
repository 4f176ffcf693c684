#include "cli/options/abbreviations.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

constexpr std::array kFlexGenFlags{
    "--model",
    "--path",
    "--offload-dir",
    "--prompt-len",
    "--gen-len",
    "--cut-gen-len",
    "--debug-mode",
    "--gpu-batch-size",
    "--num-gpu-batches",
    "--percent",
    "--sep-layer",
    "--pin-weight",
    "--cpu-cache-compute",
    "--attn-sparsity",
    "--compress-weight",
    "--compress-cache",
    "--log-file",
    "--no-log",
    "--verbose",
    "--overlap",
    "--head-ip",
    "--port",
    "--rank",
    "--local-rank",
    "--world-size",
    "--use-mpi",
    "--comm-device",
    "--num-inner-iterations",
    "--async-comm",
};
// Of ours, those that begin one of FlexGen's.
constexpr std::array kOwnFlags{"--help"};

std::string expand(const std::string& word) {
  const auto name = std::string_view(word).substr(0, word.find('='));
  if (!name.starts_with("--") || name.size() < 3) return word;
  if (std::ranges::count(kFlexGenFlags, name) + std::ranges::count(kOwnFlags, name) > 0) return word;
  std::vector<std::string_view> matches;
  for (const std::string_view flag : kFlexGenFlags)
    if (flag.starts_with(name)) matches.push_back(flag);
  if (matches.empty()) return word;
  if (matches.size() > 1)
    throw UsageError(fmt::format("{} could be {}: write it in full", name, fmt::join(matches, " or ")));
  return std::string(matches[0]) + word.substr(name.size());
}

}  // namespace

std::vector<std::string> expand_abbreviations(std::vector<std::string> words) {
  const auto command = std::ranges::find_if(words, [](const auto& word) { return !word.starts_with('-'); });
  if (command == words.end() || *command != "bench") return words;
  std::transform(command + 1, words.end(), command + 1, expand);
  return words;
}

}  // namespace optpipe::cli
