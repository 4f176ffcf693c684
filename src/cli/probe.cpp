#include "optpipe/probe/probe.hpp"

#include <nlohmann/json.hpp>

#include "cli/binding_report.hpp"
#include "cli/commands.hpp"
#include "cli/end_all_ranks.hpp"
#include "cli/output_file.hpp"
#include "cli/rank_setup.hpp"
#include "optpipe/base/environment.hpp"
#include "optpipe/executor/pipeline.hpp"

namespace optpipe::cli {
namespace {

void write_all(OutputFile& file, std::string_view text) {
  file.begin();
  file.write(text);
  file.finish();
}

}  // namespace

void probe(const ProbeOptions& options, comm::Transport& transport) {
  std::optional<OutputFile> table, json;  // on rank 0
  probe::Options wanted;
  executor::agree(transport, [&] {
    wanted.gpu = choose_gpu(options.run, transport.node());
    wanted.offload_directory = options.run.offload_directory;
    if (wanted.offload_directory.empty()) wanted.offload_directory = temporary_directory();
    wanted.comm_device = comm_device(options.run);
    wanted.timeout = comm::Seconds(options.run.comm_timeout_s);
    if (!transport.is_first()) return;
    table.emplace("", "");
    if (!options.json.empty()) json.emplace("--json", options.json);
  });
  wanted.binding = executor::bind_rank(transport, wanted.gpu, bind_mode(options.run));
  wanted.threads = thread_count(options.run, wanted.binding->placement());
  try {
    const auto findings = probe::measure(wanted, transport);
    const auto bindings = executor::gather_bindings(transport, *wanted.binding, wanted.gpu, wanted.threads);
    if (!transport.is_first()) return;
    std::string text;
    for (const auto& line : binding_table(bindings)) text += line + "\n";
    for (const auto& remark : binding_remarks(bindings)) text += remark.text + "\n";
    for (const auto& line : probe::to_table(findings)) text += line + "\n";
    write_all(*table, text);
    if (!json) return;
    auto all = probe::to_json(findings);
    all["binding"] = binding_json(options.run.bind, bindings);
    write_all(*json, all.dump(2) + "\n");
  } catch (const executor::Reported&) {
    throw;
  } catch (...) {
    end_all_ranks(transport)(std::current_exception());
    throw;
  }
}

}  // namespace optpipe::cli
