#include "optpipe/metrics/result.hpp"

#include <nlohmann/json.hpp>

namespace optpipe::metrics {
namespace {

nlohmann::json rate(std::int64_t tokens, double seconds) {
  if (tokens <= 0 || seconds <= 0) return nullptr;
  return static_cast<double>(tokens) / seconds;
}

}  // namespace

nlohmann::json to_json(const Result& result) {
  const std::int64_t decoded = result.new_tokens - result.prompts;
  nlohmann::json json;
  json["prompts"] = result.prompts;
  json["prompt_tokens"] = result.prompt_tokens;
  json["new_tokens"] = result.new_tokens;
  json["prefill_s"] = result.prefill_s;
  json["decode_s"] = decoded > 0 ? nlohmann::json(result.decode_s) : nlohmann::json(nullptr);
  json["total_s"] = result.total_s();
  json["prefill_token_s"] = rate(result.prompt_tokens, result.prefill_s);
  json["decode_token_s"] = rate(decoded, result.decode_s);
  json["total_token_s"] = rate(result.new_tokens, result.total_s());
  json["projected"] = result.projected;
  return json;
}

}  // namespace optpipe::metrics
