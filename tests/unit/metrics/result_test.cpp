#include "optpipe/metrics/result.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "optpipe/metrics/sizes.hpp"

namespace optpipe::metrics {
namespace {

Result opt_30b() {
  Result result;
  result.prompts = 144;
  result.prompt_tokens = 144 * 512;
  result.new_tokens = 144 * 32;
  result.prefill_s = 7.8;
  result.decode_s = 85.25;
  return result;
}

// The way in which FlexGen's scripts read a log: split at the tab, between ':' and the unit.
struct LoggedRate {
  double latency_s, token_s;
};
LoggedRate read_log_line(const std::string& line) {
  const auto tab = line.find('\t');
  const auto first = line.substr(0, tab), second = line.substr(tab + 1);
  const auto between = [](const std::string& text, const std::string& end) {
    const auto begin = text.find(':') + 1;
    return std::stod(text.substr(begin, text.find(end) - begin));
  };
  EXPECT_EQ(second.find('\t'), std::string::npos) << "two columns";
  return {between(first, " s"), between(second, " to")};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(ResultLines, AreReadAsFlexGenReadsThem) {
  const auto lines = lines_of(result_lines({}, opt_30b()));
  ASSERT_EQ(lines.size(), 5u);
  const auto prefill = read_log_line(lines[2]), decode = read_log_line(lines[3]),
             total = read_log_line(lines[4]);
  EXPECT_NEAR(prefill.latency_s, 7.8, 1e-3);
  EXPECT_NEAR(prefill.token_s, 144 * 512 / 7.8, 1e-3);
  EXPECT_NEAR(decode.latency_s, 85.25, 1e-3);
  EXPECT_NEAR(decode.token_s, 144 * 31 / 85.25, 1e-3);
  EXPECT_NEAR(total.latency_s, 93.05, 1e-3);
  EXPECT_NEAR(total.token_s, 144 * 32 / 93.05, 1e-3);
}

TEST(ResultLines, LookAsFlexGenPrintsThem) {
  auto config = model::config_of_size("opt-30b");
  auto result = opt_30b();
  result.projected = true;
  const auto lines = lines_of(result_lines(
      {model_bytes(config),
       cache_bytes(config, 144, 544),
       hidden_bytes(config, 144, 544),
       {.gpu = 7 * kGiB, .planned_gpu = 8 * kGiB, .host = 140 * kGiB, .planned_host = 145 * kGiB}},
      result));
  EXPECT_EQ(lines[0], "model size: 55.803 GB\tcache size: 100.406 GB\thidden size (p): 1.046 GB");
  EXPECT_EQ(lines[1],
            "peak gpu mem: 7.000 GB\tprojected: True\tplanned gpu mem: 8.000 GB\tpeak host mem: 140.000 GB\t"
            "planned host mem: 145.000 GB");
  EXPECT_EQ(lines[2], "prefill latency: 7.800 s\tprefill throughput: 9452.308 token/s");
}

TEST(ResultLines, WhatWasNotMeasuredIsNamedSo) {
  auto result = opt_30b();
  result.decode_s.reset();  // --cut-gen-len 1
  const auto lines = lines_of(result_lines({}, result));
  EXPECT_EQ(lines[3], "decode latency: not measured\tdecode throughput: not measured");
  EXPECT_EQ(lines[4], "total latency: not measured\ttotal throughput: not measured");
  const auto json = to_json(result);
  for (const char* key : {"decode_s", "decode_token_s", "total_s", "total_token_s"})
    EXPECT_TRUE(json[key].is_null()) << key;
}

TEST(Result, WithoutDecodeStepsThePrefillIsAll) {
  auto result = opt_30b();
  result.new_tokens = result.prompts;
  result.decode_s.reset();
  EXPECT_EQ(*result.total_s(), 7.8);
  EXPECT_FALSE(result.decode_token_s());
}

TEST(WorkloadSizes, AreThoseOfTheNotebook) {
  const auto config = model::config_of_size("facebook/opt-30b");
  const auto gib = [](Bytes bytes) { return static_cast<double>(bytes) / static_cast<double>(kGiB); };
  EXPECT_NEAR(gib(model_bytes(config)), 55.803, 5e-4);
  EXPECT_NEAR(gib(cache_bytes(config, 192, 544)), 133.875, 5e-4);
  EXPECT_NEAR(gib(hidden_bytes(config, 192, 544)), 1.395, 5e-4);
}

}  // namespace
}  // namespace optpipe::metrics
