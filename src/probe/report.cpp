#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "optpipe/probe/probe.hpp"
#include "probe/rank_json.hpp"

namespace optpipe::probe {
namespace {

constexpr double kGiga = 1e9;

std::string three(double in, double out, double both) {
  return fmt::format("{:5.1f} {:5.1f} {:5.1f}", in / kGiga, out / kGiga, both / kGiga);
}

std::string products(const std::vector<simulator::ProductRate>& rates) {
  std::string text;
  for (const auto& rate : rates) text += fmt::format("  {:.0f}: {:.3g}", rate.rows, rate.flops_s / 1e12);
  return text;
}

void add_device(std::vector<std::string>& lines, const simulator::Device& device) {
  lines.push_back(fmt::format("{}", device.name));
  lines.push_back("  products, TFLOP/s by rows" + products(device.products));
  if (!device.is_gpu) lines.push_back("  of prompts, TFLOP/s by rows" + products(device.prompt_products));
  if (device.sustained < 0.99)
    lines.push_back(fmt::format("  large products that go on for more than {:.2f} s: {:.0f} % of that",
                                device.burst_s, device.sustained * 100));
  lines.push_back(
      fmt::format("  attention of prompts {:.3g} TFLOP/s, of new tokens {:.4g} GB/s; memory copy {:.4g} "
                  "GB/s; a kernel {:.2g} us",
                  device.prompt_attention_flops_s / 1e12, device.attention_bytes_s / kGiga,
                  device.memory_bytes_s / kGiga, device.kernel_s * 1e6));
}

void add_links(std::vector<std::string>& lines, const std::vector<RankRates>& ranks) {
  for (std::size_t r = 0; r + 1 < ranks.size(); ++r) {
    const auto& next = ranks[r].next;
    std::string line = fmt::format("rank {} to {}: through host memory {:.1f} us, {:.2f} GB/s", r, r + 1,
                                   next.host.latency_s * 1e6, next.host.bytes_s / kGiga);
    if (next.device.bytes_s > 0)
      line += fmt::format("; GPU to GPU {:.1f} us, {:.1f} GB/s", next.device.latency_s * 1e6,
                          next.device.bytes_s / kGiga);
    lines.push_back(line);
  }
}

}  // namespace

nlohmann::json to_json(const Findings& findings) {
  auto ranks = nlohmann::json::array();
  for (const RankRates& rank : findings.ranks) ranks.push_back(to_json(rank));
  return {{"machine", simulator::to_json(findings.machine)}, {"ranks", std::move(ranks)}};
}

std::vector<std::string> to_table(const Findings& findings) {
  std::vector<std::string> lines;
  const auto& ranks = findings.ranks;
  for (std::size_t r = 0; r < ranks.size(); ++r)
    if (r == 0 || ranks[r].device.name != ranks[r - 1].device.name) add_device(lines, ranks[r].device);
  lines.push_back("");
  lines.push_back(
      "GB/s             device copies alone   all at once         memory read          beside copies        "
      "disk");
  lines.push_back(
      "rank host         in    out   both      in    out   both    huge pages  4 KiB    cores  copies   "
      "write   read");
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const RankRates& rank = ranks[r];
    lines.push_back(fmt::format(
        "{:>4} {:<9.9} {}   {}   {:>10.1f} {:>6.1f} {:>8.1f} {:>7.1f} {:>7.2f} {:>6.2f}", r, rank.host,
        three(rank.copy_in, rank.copy_out, rank.copy_both), three(rank.all_in, rank.all_out, rank.all_both),
        rank.read / kGiga, rank.read_small_pages / kGiga, rank.read_beside_copies / kGiga,
        rank.copies_beside_read / kGiga, rank.disk_write / kGiga, rank.disk_read / kGiga));
  }
  const auto& m = findings.machine;
  lines.push_back(fmt::format("node {:<9.9} {}   {}   {:>10.1f} {:>6} {:>8} {:>7} {:>7.2f} {:>6.2f}",
                              ranks.front().host, three(m.copies.in, m.copies.out, m.copies.both),
                              three(m.copies.all_in, m.copies.all_out, m.copies.all_both),
                              m.host_memory.cores_bytes_s / kGiga, "",
                              fmt::format("{:.1f}", m.host_memory.total_bytes_s / kGiga), "",
                              m.disk.write_bytes_s / kGiga, m.disk.read_bytes_s / kGiga));
  lines.push_back(fmt::format(
      "cores of the node attend to codes of 8 bits at {:.1f} GB/s, of 4 bits at {:.1f}",
      m.host_memory.attention_8bit_bytes_s / kGiga, m.host_memory.attention_4bit_bytes_s / kGiga));
  add_links(lines, ranks);
  return lines;
}

}  // namespace optpipe::probe
