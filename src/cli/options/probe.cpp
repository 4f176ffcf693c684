#include "cli/options/groups.hpp"

namespace optpipe::cli {

void add_probe_options(CLI::App& app, ProbeOptions& o) {
  app.add_option("--json", o.json, "Write what was measured to this file, for optpipe plan --machine")
      ->type_name("FILE")
      ->group("Output");
  add_offload_directory(app, o.run, "Run");
  add_run_options(app, o.run);
}

}  // namespace optpipe::cli
