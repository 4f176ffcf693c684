#include "cli/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/help_format.hpp"
#include "cli/options/abbreviations.hpp"
#include "cli/options/groups.hpp"
#include "cli/options/prompt_words.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

// A command and what is to be done once its options are read.
struct Command {
  CLI::App* app;
  std::function<void()> accept;
};

// `add` defines the command's options; once they are read and checked, they go to `target`.
template <class T>
Command offer(CLI::App& app, Parsed& parsed, const char* name, const char* description,
              void (*add)(CLI::App&, T&), std::optional<T> Options::*target) {
  const auto options = std::make_shared<T>();
  CLI::App* command = app.add_subcommand(name, description);
  add(*command, *options);
  return {command, [options, target, &parsed] {
            if constexpr (requires { check(*options); }) check(*options);
            if constexpr (requires { options->verbosity; }) options->verbosity = parsed.options.verbosity;
            parsed.options.*target = std::move(*options);
          }};
}

const Command* find_parsed(const std::vector<Command>& commands) {
  const auto found = std::ranges::find_if(commands, [](const Command& each) { return each.app->parsed(); });
  return found == commands.end() ? nullptr : &*found;
}

}  // namespace

Parsed parse_command_line(int argc, const char* const* argv, std::function<std::string()> version) {
  Parsed parsed;
  CLI::App app(
      "optpipe runs OPT language models larger than the GPUs at hand, as a pipeline\nover MPI ranks.",
      "optpipe");
  app.formatter(make_help_format());
  bool quiet = false, verbose = false;
  app.add_flag("--quiet", quiet, "Log warnings and errors only");
  app.add_flag("--verbose", verbose, "Log more");
  if (version) app.set_version_flag("--version", std::move(version), "Version, backends and transports");
  app.set_help_flag("-h,--help", "This help");
  app.footer("optpipe COMMAND --help lists the options of a command.");
  app.fallthrough();

  const std::vector<Command> commands{
      offer(app, parsed, "generate", "Generate text from prompts", add_generate_options, &Options::generate),
      offer(app, parsed, "bench", "Measure a workload, with FlexGen's flags", add_bench_options,
            &Options::bench),
      offer(app, parsed, "probe", "Measure what the ranks' machines can do", add_probe_options,
            &Options::probe),
      offer(app, parsed, "plan", "Memory and predicted speed of a policy, or the best policy that fits",
            add_plan_options, &Options::plan),
      offer(app, parsed, "quantize", "Write a checkpoint with 4-bit or 8-bit matrices", add_quantize_options,
            &Options::quantize),
  };

  try {
    auto words = expand_abbreviations(repeat_prompt_flag(argc, argv));
    std::ranges::reverse(words);  // as CLI11 takes them
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      std::ostringstream out, ignored;
      app.exit(error, out, ignored);
      parsed.printed = out.str();
      return parsed;
    }
    const auto* command = find_parsed(commands);
    throw UsageError(fmt::format("{}; see optpipe {}--help", error.what(),
                                 command != nullptr ? command->app->get_name() + " " : ""));
  }
  const auto* command = find_parsed(commands);
  if (command == nullptr) throw UsageError("there is no command, such as generate; see optpipe --help");
  parsed.options.verbosity = quiet ? Verbosity::quiet : verbose ? Verbosity::debug : Verbosity::normal;
  command->accept();
  return parsed;
}

}  // namespace optpipe::cli
