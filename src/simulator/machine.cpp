#include "optpipe/simulator/machine.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "optpipe/base/error.hpp"
#include "simulator/known_machines.hpp"

namespace optpipe::simulator {
namespace {

using nlohmann::json;

json rates_to_json(const std::vector<ProductRate>& rates) {
  json all = json::array();
  for (const ProductRate& rate : rates) all.push_back({{"rows", rate.rows}, {"flops_s", rate.flops_s}});
  return all;
}

json channel_to_json(const Channel& channel) {
  return {{"latency_s", channel.latency_s}, {"bytes_s", channel.bytes_s}};
}

// A part of the file, with its path for messages.
class Reader {
 public:
  Reader(const json& value, std::string origin, std::string path = {})
      : value_(value), origin_(std::move(origin)), path_(std::move(path)) {
    if (!value_.is_object()) refuse("", "is no object");
  }

  Reader part(const char* key) const { return {at(key), origin_, join(key)}; }

  // At least `least`; beyond 1e18 there is nothing real.
  double number(const char* key, double least = 0) const {
    const json& value = at(key);
    if (!value.is_number()) refuse(key, "is no number");
    const double number = value.get<double>();
    if (!(number >= least && number <= 1e18))
      refuse(key, fmt::format("is {}, but must be from {} to 1e18", number, least));
    return number;
  }
  // Of what older files do not have.
  double number_or(const char* key, double missing) const {
    return value_.contains(key) ? number(key) : missing;
  }
  int count(const char* key) const {
    const double number = this->number(key, 1);
    if (number > 1 << 20 || number != std::floor(number)) refuse(key, "is no count");
    return static_cast<int>(number);
  }
  Bytes bytes(const char* key) const { return static_cast<Bytes>(number(key)); }
  std::string text(const char* key) const {
    if (!at(key).is_string()) refuse(key, "is no text");
    return at(key).get<std::string>();
  }
  bool flag(const char* key) const {
    if (!at(key).is_boolean()) refuse(key, "is neither true nor false");
    return at(key).get<bool>();
  }
  std::vector<ProductRate> rates(const char* key) const {
    const json& list = at(key);
    if (!list.is_array() || list.empty()) refuse(key, "is no list of rates");
    std::vector<ProductRate> rates;
    for (const json& each : list) {
      const Reader reader(each, origin_, join(key));
      rates.push_back({reader.number("rows", 1), reader.number("flops_s", 1)});
      if (rates.size() > 1 && rates.back().rows <= rates[rates.size() - 2].rows)
        refuse(key, "is not in the order of its rows");
    }
    return rates;
  }
  Channel channel(const char* key) const {
    const Reader reader = part(key);
    return {reader.number("latency_s"), reader.number("bytes_s")};
  }

 private:
  std::string join(const char* key) const { return path_.empty() ? key : path_ + "." + key; }
  const json& at(const char* key) const {
    const auto found = value_.find(key);
    if (found == value_.end()) refuse(key, "is missing");
    return *found;
  }
  [[noreturn]] void refuse(const char* key, const std::string& why) const {
    throw InputError(
        fmt::format("{}: {} {}; optpipe probe --json writes such a file", origin_, join(key), why));
  }

  const json& value_;
  std::string origin_, path_;
};

Device read_device(const Reader& reader) {
  Device device;
  device.name = reader.text("name");
  device.is_gpu = reader.flag("is_gpu");
  device.threads = reader.count("threads");
  device.memory = reader.bytes("memory_bytes");
  device.products = reader.rates("products");
  device.prompt_products = reader.rates("prompt_products");
  device.sustained = reader.number("sustained", 0.01);
  device.burst_s = reader.number("burst_s");
  device.prompt_attention_flops_s = reader.number("prompt_attention_flops_s", 1);
  device.attention_bytes_s = reader.number("attention_bytes_s", 1);
  device.memory_bytes_s = reader.number("memory_bytes_s", 1);
  device.kernel_s = reader.number("kernel_s");
  device.step_s = reader.number("step_s");
  if (!device.is_gpu) device.embedding_values_s = reader.number("embedding_values_s", 1);
  return device;
}

}  // namespace

double product_rate(const std::vector<ProductRate>& rates, double rows) {
  const auto above = std::ranges::find_if(rates, [&](const ProductRate& rate) { return rate.rows >= rows; });
  if (above == rates.end()) return rates.back().flops_s;
  if (above == rates.begin()) return above->flops_s * rows / above->rows;
  const ProductRate &low = *(above - 1), &high = *above;
  const double share = std::log(rows / low.rows) / std::log(high.rows / low.rows);
  return low.flops_s * std::pow(high.flops_s / low.flops_s, share);
}

json to_json(const Device& device) {
  return {{"name", device.name},
          {"is_gpu", device.is_gpu},
          {"threads", device.threads},
          {"memory_bytes", device.memory},
          {"products", rates_to_json(device.products)},
          {"prompt_products", rates_to_json(device.prompt_products)},
          {"sustained", device.sustained},
          {"burst_s", device.burst_s},
          {"prompt_attention_flops_s", device.prompt_attention_flops_s},
          {"attention_bytes_s", device.attention_bytes_s},
          {"memory_bytes_s", device.memory_bytes_s},
          {"kernel_s", device.kernel_s},
          {"step_s", device.step_s},
          {"embedding_values_s", device.embedding_values_s}};
}

json to_json(const Machine& machine) {
  const Copies& copies = machine.copies;
  return {{"name", machine.name},
          {"source", machine.source},
          {"devices", machine.devices},
          {"cores", machine.cores},
          {"device", to_json(machine.device)},
          {"copies",
           {{"in_bytes_s", copies.in},
            {"out_bytes_s", copies.out},
            {"both_bytes_s", copies.both},
            {"all_in_bytes_s", copies.all_in},
            {"all_out_bytes_s", copies.all_out},
            {"all_both_bytes_s", copies.all_both},
            {"copy_s", copies.copy_s}}},
          {"host_memory",
           {{"bytes", machine.host_memory.bytes},
            {"cores_bytes_s", machine.host_memory.cores_bytes_s},
            {"total_bytes_s", machine.host_memory.total_bytes_s},
            {"attention_8bit_bytes_s", machine.host_memory.attention_8bit_bytes_s},
            {"attention_4bit_bytes_s", machine.host_memory.attention_4bit_bytes_s}}},
          {"disk",
           {{"bytes", machine.disk.bytes},
            {"read_bytes_s", machine.disk.read_bytes_s},
            {"write_bytes_s", machine.disk.write_bytes_s}}},
          {"device_link", channel_to_json(machine.device_link)},
          {"host_link", channel_to_json(machine.host_link)},
          {"network", channel_to_json(machine.network)}};
}

double HostMemory::attention_bytes_s(StorageFormat format) const {
  if (!is_quantized(format)) return cores_bytes_s;
  const double measured = format == StorageFormat::q4 ? attention_4bit_bytes_s : attention_8bit_bytes_s;
  return measured > 0 ? std::min(measured, cores_bytes_s) : kCodesOfReading * cores_bytes_s;
}

Device device_from_json(const json& json, const std::string& origin) {
  return read_device(Reader(json, origin));
}

Machine machine_from_json(const json& json, const std::string& origin) {
  const Reader reader(json, origin);
  const Reader copies = reader.part("copies"), memory = reader.part("host_memory"),
               disk = reader.part("disk");
  Machine machine;
  machine.name = reader.text("name");
  machine.source = reader.text("source");
  machine.devices = reader.count("devices");
  machine.cores = reader.count("cores");
  machine.device = read_device(reader.part("device"));
  machine.copies = {copies.number("in_bytes_s", 1),
                    copies.number("out_bytes_s", 1),
                    copies.number("both_bytes_s", 1),
                    copies.number("all_in_bytes_s", 1),
                    copies.number("all_out_bytes_s", 1),
                    copies.number("all_both_bytes_s", 1),
                    copies.number("copy_s")};
  machine.host_memory = {memory.bytes("bytes"), memory.number("cores_bytes_s", 1),
                         memory.number("total_bytes_s", 1), memory.number_or("attention_8bit_bytes_s", 0),
                         memory.number_or("attention_4bit_bytes_s", 0)};
  machine.disk = {disk.bytes("bytes"), disk.number("read_bytes_s", 1), disk.number("write_bytes_s", 1)};
  machine.device_link = reader.channel("device_link");
  machine.host_link = reader.channel("host_link");
  machine.network = reader.channel("network");
  return machine;
}

Machine load_machine(const std::string& name_or_file) {
  for (const KnownMachine& known : all_known_machines())
    if (known.name == name_or_file) return machine_from_json(json::parse(known.text), known.name);
  std::ifstream file(name_or_file);
  if (!file)
    throw InputError(fmt::format(
        "--machine {}: there is no such file; give one that optpipe probe --json wrote, or one of {}",
        name_or_file, fmt::join(known_machines(), ", ")));
  json json = json::parse(file, nullptr, false);
  if (json.is_discarded())
    throw InputError(
        fmt::format("--machine {}: this is no JSON; optpipe probe --json writes such a file", name_or_file));
  // probe's report holds the machine beside what else it found.
  if (json.is_object() && json.contains("machine")) json = nlohmann::json(json["machine"]);
  return machine_from_json(json, name_or_file);
}

std::vector<std::string> known_machines() {
  std::vector<std::string> names;
  for (const KnownMachine& known : all_known_machines()) names.push_back(known.name);
  return names;
}

}  // namespace optpipe::simulator
