// The driver of the fuzz targets where there is no libFuzzer: NAME [--seconds S] [--seed N] FILE|FOLDER ...
// Runs the target on every file, and then, for S seconds, on what simple mutations make of them: nothing that
// learns, but the same for the same seed, and enough to keep the corpora and the targets alive under any
// compiler.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz/target.hpp"

namespace optpipe::fuzz {
namespace {

namespace fs = std::filesystem;
using Random = std::mt19937_64;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

std::size_t below(Random& random, std::size_t end) { return end == 0 ? 0 : random() % end; }

void mutate(std::string& input, const std::vector<std::string>& corpus, Random& random) {
  static const std::vector<std::string> kTelling{std::string(8, '\xff'),
                                                 std::string(8, '\0'),
                                                 "\x7f",
                                                 "-1",
                                                 "18446744073709551616",
                                                 "1e999",
                                                 "{",
                                                 "[",
                                                 "\"",
                                                 "\\",
                                                 "../",
                                                 "\xed\xa0\x80"};
  const auto at = below(random, input.size() + 1), rest = input.size() - at;
  switch (below(random, 7)) {
    case 0:
      if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(random, 8)));
      return;
    case 1:
      if (at < input.size()) input[at] = static_cast<char>(random());
      return;
    case 2:
      input.erase(at, below(random, std::min<std::size_t>(rest, 64) + 1));
      return;
    case 3:
      input.insert(at, input.substr(below(random, input.size() + 1), below(random, 64)));
      return;
    case 4: {  // over what is there: lengths keep their places
      const auto& word = kTelling[below(random, kTelling.size())];
      input.replace(at, std::min(rest, word.size()), word);
      return;
    }
    case 5:
      input.insert(at, kTelling[below(random, kTelling.size())]);
      return;
    default: {
      const auto& other = corpus[below(random, corpus.size())];
      input = input.substr(0, at) + other.substr(below(random, other.size() + 1));
    }
  }
}

// Returns how many inputs were run.
std::size_t run_mutations(const std::vector<std::string>& corpus, double seconds, std::uint64_t seed) {
  Random random(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  std::size_t runs = 0;
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    auto input = corpus[below(random, corpus.size())];
    for (std::size_t i = below(random, 8) + 1; i > 0; --i) mutate(input, corpus, random);
    run(input);
  }
  return runs;
}

}  // namespace
}  // namespace optpipe::fuzz

int main(int argc, char** argv) {
  using namespace optpipe::fuzz;
  double seconds = 0;
  std::uint64_t seed = 1;
  std::vector<fs::path> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--seconds" && i + 1 < argc)
      seconds = std::atof(argv[++i]);
    else if (word == "--seed" && i + 1 < argc)
      seed = std::strtoull(argv[++i], nullptr, 10);
    else if (fs::is_directory(word))
      std::copy(fs::directory_iterator(word), {}, std::back_inserter(paths));
    else
      paths.emplace_back(word);
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const auto& path : paths)
    if (fs::is_regular_file(path)) corpus.push_back(read(path));
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: there is nothing to run: name files, or folders of files\n", argv[0]);
    return 2;
  }
  for (const auto& input : corpus) run(input);
  const auto mutations = run_mutations(corpus, seconds, seed);
  std::printf("%zu inputs and %zu mutations of them: all answered\n", corpus.size(), mutations);
  return 0;
}
