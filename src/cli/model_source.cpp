#include "cli/model_source.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "optpipe/base/error.hpp"
#include "optpipe/executor/stage.hpp"
#include "optpipe/model/slice.hpp"

namespace optpipe::cli {

namespace fs = std::filesystem;

namespace {

// FlexGen keeps the weights of facebook/opt-125m in PATH/opt-125m-np. Empty: there is no such folder.
fs::path flexgen_folder(const ModelOptions& options) {
  if (options.path.empty() || model::is_dummy_path(options.path)) return {};
  std::error_code ignored;
  const auto folder = fs::path(options.path) / (fs::path(options.model).filename().string() + "-np");
  return fs::is_directory(folder, ignored) ? folder : fs::path();
}

}  // namespace

model::ModelConfig read_config(const ModelOptions& options) {
  std::error_code ignored;
  if (fs::is_directory(options.model, ignored)) return model::load_config(options.model);
  if (model::is_dummy_path(options.path) || !flexgen_folder(options).empty())
    return model::config_of_size(options.model);
  throw InputError(fmt::format(
      "--model {}: there is no such folder; give a checkpoint folder (config.json and weights), or add "
      "--path DUMMY to run a known size with random weights",
      options.model));
}

std::unique_ptr<model::Checkpoint> open_weights(const ModelOptions& options,
                                                const model::ModelConfig& config) {
  if (model::is_dummy_path(options.path))
    return model::open_dummy_checkpoint(config, options.dummy_seed, config.dtype);
  std::error_code ignored;
  if (const auto folder = flexgen_folder(options);
      !folder.empty() && !fs::is_directory(options.model, ignored))
    return model::open_checkpoint(folder);
  return model::open_checkpoint(options.path.empty() ? options.model : options.path);
}

StorageFormat planned_weight_format(const ModelOptions& options, const model::ModelConfig& config,
                                    StorageFormat wanted) {
  std::error_code ignored;
  // The only file that holds quantized matrices (optpipe quantize).
  if (is_quantized(wanted) || !fs::exists(fs::path(options.model) / "model.safetensors", ignored))
    return wanted;
  const auto weights = open_weights(options, config);
  return executor::weight_format(config, model::balance_stages(config, 1).front(), *weights, wanted);
}

}  // namespace optpipe::cli
