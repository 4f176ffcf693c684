#include "cli/options/groups.hpp"

namespace optpipe::cli {
namespace {

constexpr const char* kGroup = "Model";

}  // namespace

void add_model_options(CLI::App& app, ModelOptions& o) {
  app.add_option(
         "--model", o.model,
         "Checkpoint folder as the Hub ships it; or, with dummy weights, a size such as facebook/opt-125m")
      ->type_name("DIR")
      ->group(kGroup);
  app.add_option("--path", o.path,
                 "Folder with the weights, if not --model; DUMMY or _DUMMY_: random weights")
      ->type_name("DIR")
      ->group(kGroup);
  app.add_option("--dummy-seed", o.dummy_seed, "Seed of dummy weights")
      ->check(check_seed, "")
      ->capture_default_str()
      ->group(kGroup);
}

}  // namespace optpipe::cli
