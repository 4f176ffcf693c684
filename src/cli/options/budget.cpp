#include "cli/options/groups.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

constexpr const char* kGroup = "Budgets, instead of what the machine has left";

std::string check_size(const std::string& text) {
  try {
    parse_bytes(text);
    return {};
  } catch (const UsageError& error) {
    return error.what();
  }
}

void add_size(CLI::App& app, const std::string& name, std::optional<Bytes>& size, const std::string& help) {
  app.add_option_function<std::string>(
         name, [&size](const std::string& text) { size = parse_bytes(text); }, help)
      ->check(check_size, "")
      ->type_name("SIZE")
      ->group(kGroup);
}

}  // namespace

void add_show_memory(CLI::App& app, RunOptions& o, const std::string& group) {
  app.add_flag("--show-memory", o.show_memory,
               "Print what each rank's memory was planned to hold, beside what was measured")
      ->group(group);
}

void add_budget_options(CLI::App& app, Budgets& o) {
  add_size(app, "--gpu-mem", o.gpu, "Memory of each GPU, such as 16GiB");
  add_size(app, "--host-mem", o.host, "Host memory of each whole node, for all of its ranks");
  add_size(app, "--disk-space", o.disk, "Space for the disk tier on each node");
}

}  // namespace optpipe::cli
