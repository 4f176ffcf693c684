#include "optpipe/metrics/result.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace optpipe::metrics {
namespace {

std::optional<double> rate(std::int64_t tokens, std::optional<double> seconds) {
  if (tokens <= 0 || !seconds || *seconds <= 0) return std::nullopt;
  return static_cast<double>(tokens) / *seconds;
}

nlohmann::json value_or_null(std::optional<double> value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

std::string line(const char* phase, std::optional<double> seconds, std::optional<double> token_s) {
  const auto number = [](std::optional<double> value, const char* unit) {
    return value ? fmt::format("{:.3f} {}", *value, unit) : "not measured";
  };
  return fmt::format("{0} latency: {1}\t{0} throughput: {2}\n", phase, number(seconds, "s"),
                     number(token_s, "token/s"));
}

double gib(Bytes bytes) { return static_cast<double>(bytes) / static_cast<double>(kGiB); }

}  // namespace

std::optional<double> Result::total_s() const {
  if (decode_s) return prefill_s + *decode_s;
  if (decoded_tokens() > 0) return std::nullopt;
  return prefill_s;
}

std::optional<double> Result::prefill_token_s() const { return rate(prompt_tokens, prefill_s); }
std::optional<double> Result::decode_token_s() const { return rate(decoded_tokens(), decode_s); }
std::optional<double> Result::total_token_s() const { return rate(new_tokens, total_s()); }

nlohmann::json to_json(const Result& result) {
  return {{"prompts", result.prompts},
          {"prompt_tokens", result.prompt_tokens},
          {"new_tokens", result.new_tokens},
          {"prefill_s", result.prefill_s},
          {"decode_s", value_or_null(result.decode_s)},
          {"total_s", value_or_null(result.total_s())},
          {"prefill_token_s", value_or_null(result.prefill_token_s())},
          {"decode_token_s", value_or_null(result.decode_token_s())},
          {"total_token_s", value_or_null(result.total_token_s())},
          {"projected", result.projected}};
}

std::string result_lines(const WorkloadSizes& sizes, const Result& result) {
  return fmt::format(
             "model size: {:.3f} GB\tcache size: {:.3f} GB\thidden size (p): {:.3f} GB\n"
             "peak gpu mem: {:.3f} GB\tprojected: {}\tplanned gpu mem: {:.3f} GB\tpeak host mem: {:.3f} GB\t"
             "planned host mem: {:.3f} GB\n",
             gib(sizes.model), gib(sizes.cache), gib(sizes.hidden), gib(sizes.peak.gpu),
             result.projected ? "True" : "False", gib(sizes.peak.planned_gpu), gib(sizes.peak.host),
             gib(sizes.peak.planned_host)) +
         line("prefill", result.prefill_s, result.prefill_token_s()) +
         line("decode", result.decode_s, result.decode_token_s()) +
         line("total", result.total_s(), result.total_token_s());
}

}  // namespace optpipe::metrics
