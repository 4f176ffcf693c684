// optpipe quantize: a checkpoint folder with quantized matrices, for runs with --model.
#include "optpipe/executor/quantize.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>

#include "cli/commands.hpp"
#include "cli/model_source.hpp"
#include "cli/rank_setup.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::cli {
namespace {

namespace fs = std::filesystem;

// What a checkpoint folder holds besides weights.
constexpr std::array kCompanions{"config.json",      "generation_config.json", "vocab.json",
                                 "merges.txt",       "tokenizer_config.json",  "special_tokens_map.json",
                                 "added_tokens.json"};

void make_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder / "model.safetensors", error))
    throw InputError(fmt::format(
        "--output {} holds model.safetensors already; name another folder, or remove it", folder.string()));
  fs::create_directories(folder, error);
  if (error)
    throw InputError(fmt::format("--output {}: the folder cannot be made: {}; name one that can",
                                 folder.string(), error.message()));
}

void copy_companions(const fs::path& from, const fs::path& to) {
  for (const char* name : kCompanions) {
    std::error_code error;
    if (!fs::exists(from / name, error)) continue;
    fs::copy_file(from / name, to / name, fs::copy_options::overwrite_existing, error);
    if (error)
      throw SystemError(
          fmt::format("copying {} to {} failed: {}", (from / name).string(), to.string(), error.message()));
  }
}

}  // namespace

void quantize(const QuantizeOptions& options) {
  std::error_code ignored;
  if (!fs::is_directory(options.model.model, ignored))
    throw InputError(
        fmt::format("--model {}: there is no such folder; give a checkpoint folder (config.json and "
                    "weights)",
                    options.model.model));
  const auto config = read_config(options.model);
  const auto weights = open_weights(options.model, config);
  const fs::path folder = options.output;
  make_folder(folder);
  const auto begin = std::chrono::steady_clock::now();
  comm::Alone alone;
  const auto binding = executor::bind_rank(alone, {}, executor::BindMode::none);
  const int threads = thread_count({}, binding->placement());
  const auto result =
      executor::write_quantized(config, *weights, options.format, folder / "model.safetensors", threads);
  copy_companions(options.model.model, folder);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  log::info("{}: {} from {} in {:.1f} s, layers' matrices in {}", folder.string(),
            format_bytes(result.written), format_bytes(result.read), seconds.count(),
            name_of(options.format));
}

}  // namespace optpipe::cli
