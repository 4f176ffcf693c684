#include "probe/rank_json.hpp"

#include <nlohmann/json.hpp>

namespace optpipe::probe {
namespace {

using nlohmann::json;

json to_json(const simulator::Channel& channel) {
  if (channel.bytes_s <= 0) return nullptr;
  return {{"latency_s", channel.latency_s}, {"bytes_s", channel.bytes_s}};
}

simulator::Channel channel_from_json(const json& value) {
  if (value.is_null()) return {};
  return {value.at("latency_s").get<double>(), value.at("bytes_s").get<double>()};
}

}  // namespace

json to_json(const RankRates& rates) {
  return {
      {"host", rates.host},
      {"local_rank", rates.local_rank},
      {"local_size", rates.local_size},
      {"device", simulator::to_json(rates.device)},
      {"copies_alone",
       {{"in_bytes_s", rates.copy_in}, {"out_bytes_s", rates.copy_out}, {"both_bytes_s", rates.copy_both}}},
      {"copies_together",
       {{"in_bytes_s", rates.all_in}, {"out_bytes_s", rates.all_out}, {"both_bytes_s", rates.all_both}}},
      {"small_copy_s", rates.small_copy_s},
      {"host_memory",
       {{"read_bytes_s", rates.read},
        {"read_small_pages_bytes_s", rates.read_small_pages},
        {"attention_8bit_bytes_s", rates.attention_8bit},
        {"attention_4bit_bytes_s", rates.attention_4bit},
        {"read_beside_copies_bytes_s", rates.read_beside_copies},
        {"copies_beside_read_bytes_s", rates.copies_beside_read}}},
      {"disk",
       {{"write_bytes_s", rates.disk_write},
        {"read_bytes_s", rates.disk_read},
        {"free_bytes", rates.disk_free}}},
      {"next_rank", {{"host", to_json(rates.next.host)}, {"device", to_json(rates.next.device)}}}};
}

RankRates rank_from_json(const json& value) {
  RankRates rates;
  const auto number = [&](const char* part, const char* key) { return value.at(part).at(key).get<double>(); };
  rates.host = value.at("host").get<std::string>();
  rates.local_rank = value.at("local_rank").get<int>();
  rates.local_size = value.at("local_size").get<int>();
  rates.device = simulator::device_from_json(value.at("device"), "a rank's measurements");
  rates.copy_in = number("copies_alone", "in_bytes_s");
  rates.copy_out = number("copies_alone", "out_bytes_s");
  rates.copy_both = number("copies_alone", "both_bytes_s");
  rates.all_in = number("copies_together", "in_bytes_s");
  rates.all_out = number("copies_together", "out_bytes_s");
  rates.all_both = number("copies_together", "both_bytes_s");
  rates.small_copy_s = value.at("small_copy_s").get<double>();
  rates.read = number("host_memory", "read_bytes_s");
  rates.read_small_pages = number("host_memory", "read_small_pages_bytes_s");
  rates.attention_8bit = number("host_memory", "attention_8bit_bytes_s");
  rates.attention_4bit = number("host_memory", "attention_4bit_bytes_s");
  rates.read_beside_copies = number("host_memory", "read_beside_copies_bytes_s");
  rates.copies_beside_read = number("host_memory", "copies_beside_read_bytes_s");
  rates.disk_write = number("disk", "write_bytes_s");
  rates.disk_read = number("disk", "read_bytes_s");
  rates.disk_free = value.at("disk").at("free_bytes").get<Bytes>();
  rates.next.host = channel_from_json(value.at("next_rank").at("host"));
  rates.next.device = channel_from_json(value.at("next_rank").at("device"));
  return rates;
}

}  // namespace optpipe::probe
