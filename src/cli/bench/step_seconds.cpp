#include "cli/bench/step_seconds.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace optpipe::cli {
namespace {

const char* name_of_kind(std::size_t kind) { return name_of(static_cast<schedule::StepKind>(kind)); }

}  // namespace

StepSeconds sum_steps(const schedule::Program& program, std::span<const schedule::StepTime> times) {
  StepSeconds sum;
  for (const auto& time : times) {
    const auto& step = program.step(time.step);
    auto& phase = step.token_step.value == 0 ? sum.prefill : sum.decode;
    phase[static_cast<std::size_t>(step.kind)] += time.seconds();
  }
  return sum;
}

nlohmann::json to_json(const StepSeconds& seconds) {
  nlohmann::json json{{"prefill", nlohmann::json::object()}, {"decode", nlohmann::json::object()}};
  for (std::size_t kind = 0; kind < schedule::kStepKinds; ++kind) {
    if (seconds.prefill[kind] > 0) json["prefill"][name_of_kind(kind)] = seconds.prefill[kind];
    if (seconds.decode[kind] > 0) json["decode"][name_of_kind(kind)] = seconds.decode[kind];
  }
  return json;
}

std::vector<std::string> to_table(const StepSeconds& seconds) {
  std::vector<std::string> lines{fmt::format("{:<18} {:>9} {:>9}", "rank 0, step", "prefill s", "decode s")};
  for (std::size_t kind = 0; kind < schedule::kStepKinds; ++kind)
    if (seconds.prefill[kind] > 0 || seconds.decode[kind] > 0)
      lines.push_back(fmt::format("{:<18} {:>9.3f} {:>9.3f}", name_of_kind(kind), seconds.prefill[kind],
                                  seconds.decode[kind]));
  return lines;
}

}  // namespace optpipe::cli
