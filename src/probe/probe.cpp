#include "optpipe/probe/probe.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>
#include <tuple>

#include "optpipe/executor/device_probe.hpp"
#include "optpipe/executor/pipeline.hpp"
#include "optpipe/memory/disk_file.hpp"
#include "probe/disk_rates.hpp"
#include "probe/link_rates.hpp"
#include "probe/memory_reader.hpp"
#include "probe/rank_json.hpp"

namespace optpipe::probe {
namespace {

using executor::DeviceProbe;
using executor::Way;

constexpr double kAlone = 0.1, kTogether = 0.3;  // seconds of a measurement
constexpr Bytes kDiskBytes = kGiB;               // of a node
constexpr Bytes kReadBytes = 512 * kMiB;         // of a rank: beyond the caches
constexpr Bytes kAttendedBytes = 1 * kGiB;       // the same
constexpr int kFewThreads = 8;                   // of which all had better attend

// Of any node: so many turns it takes until each of its ranks has been alone.
int largest_node(comm::Transport& transport) {
  const int own = transport.node().local_size;
  std::vector<std::byte> data(sizeof own);
  std::memcpy(data.data(), &own, sizeof own);
  int most = own;
  for (const auto& each : transport.gather(data, Rank(0))) {
    int size = 0;
    std::memcpy(&size, each.data(), sizeof size);
    most = std::max(most, size);
  }
  std::memcpy(data.data(), &most, sizeof most);
  data = transport.broadcast(std::move(data), Rank(0));
  std::memcpy(&most, data.data(), sizeof most);
  return most;
}

void measure_copies(RankRates& rates, DeviceProbe& device, comm::Transport& transport) {
  const int turns = largest_node(transport);
  for (int turn = 0; turn < turns; ++turn) {
    transport.barrier();
    if (transport.node().local_rank != turn) continue;
    rates.copy_in = device.copy_rate(Way::in, kAlone);
    rates.copy_out = device.copy_rate(Way::out, kAlone);
    rates.copy_both = device.copy_rate(Way::both, kAlone);
    rates.small_copy_s = device.small_copy_s();
  }
  const auto together = [&](Way way) {
    transport.barrier();
    return device.copy_rate(way, kTogether);
  };
  rates.all_in = together(Way::in);
  rates.all_out = together(Way::out);
  rates.all_both = together(Way::both);
}

// Bytes a second by cores, and of copies meanwhile.
template <class Reader>
std::pair<double, double> beside_copies(DeviceProbe& device, double seconds, const Reader& read) {
  double copies = 0;
  std::jthread thread([&] { copies = device.copy_rate(Way::in, seconds); });
  const double cores = read(seconds);
  thread.join();
  return {cores, copies};
}

std::unique_ptr<DeviceProbe> make_probe(const Options& options) {
  return options.gpu ? executor::make_cuda_probe(*options.gpu, options.threads)
                     : executor::make_cpu_probe(options.threads);
}

void measure_memory(RankRates& rates, DeviceProbe& device, const Options& options,
                    comm::Transport& transport) {
  const int threads = options.threads;
  memory::HostPages huge(threads, options.binding);
  SmallPages small;
  transport.barrier();
  rates.read = read_rate(huge, kReadBytes, threads, kTogether);
  transport.barrier();
  rates.read_small_pages = read_rate(small, kReadBytes, threads, kTogether);
  const auto attention_rate = [&](StorageFormat format) {
    AttentionReader reader(huge, {.format = format}, kReadBytes);
    transport.barrier();
    return reader.rate(threads, kTogether);
  };
  rates.attention_8bit = attention_rate(StorageFormat::q8);
  rates.attention_4bit = attention_rate(StorageFormat::q4);
  transport.barrier();
  std::tie(rates.read_beside_copies, rates.copies_beside_read) = beside_copies(
      device, 2 * kTogether, [&](double seconds) { return read_rate(huge, kReadBytes, threads, seconds); });
}

RankRates measure_rank(const Options& options, DeviceProbe& device, comm::DeviceLink* link,
                       comm::Transport& transport) {
  RankRates rates;
  const auto node = transport.node();
  rates.host = node.host;
  rates.local_rank = node.local_rank;
  rates.local_size = node.local_size;
  transport.barrier();
  rates.device = device.rates();
  measure_copies(rates, device, transport);
  measure_memory(rates, device, options, transport);
  transport.barrier();
  const auto disk = disk_rates(options.offload_directory, kDiskBytes / static_cast<Bytes>(node.local_size));
  rates.disk_write = disk.write;
  rates.disk_read = disk.read;
  std::error_code ignored;
  const auto space = std::filesystem::space(options.offload_directory, ignored);
  if (!ignored) rates.disk_free = space.available;
  rates.next = link_rates(transport, device, link);
  return rates;
}

// Of the links of one kind the slowest counts: a pipeline waits for it.
simulator::Channel slowest(const std::vector<RankRates>& ranks, bool across_nodes,
                           simulator::Channel LinkRates::*kind) {
  simulator::Channel all;
  for (std::size_t r = 0; r + 1 < ranks.size(); ++r) {
    const simulator::Channel& own = ranks[r].next.*kind;
    if ((ranks[r].host != ranks[r + 1].host) != across_nodes || own.bytes_s <= 0) continue;
    all.latency_s = std::max(all.latency_s, own.latency_s);
    all.bytes_s = all.bytes_s > 0 ? std::min(all.bytes_s, own.bytes_s) : own.bytes_s;
  }
  return all;
}

Bytes installed_memory() {
  return static_cast<Bytes>(sysconf(_SC_PHYS_PAGES)) * static_cast<Bytes>(sysconf(_SC_PAGESIZE));
}

}  // namespace

simulator::Machine to_machine(const std::vector<RankRates>& ranks, int cores, Bytes memory) {
  simulator::Machine machine;
  const RankRates& first = ranks.front();
  machine.source = "optpipe probe";
  machine.devices = first.local_size;
  machine.cores = cores;
  machine.device = first.device;
  machine.name = std::to_string(first.local_size) + " x " + first.device.name + " on " + first.host;
  machine.copies.in = first.copy_in;
  machine.copies.out = first.copy_out;
  machine.copies.both = first.copy_both;
  machine.copies.copy_s = first.small_copy_s;
  machine.host_memory.bytes = memory;
  machine.disk.bytes = first.disk_free;
  double beside = 0;
  for (const RankRates& rank : ranks) {
    if (rank.host != first.host) continue;
    machine.copies.all_in += rank.all_in;
    machine.copies.all_out += rank.all_out;
    machine.copies.all_both += rank.all_both;
    machine.host_memory.cores_bytes_s += rank.read;
    machine.host_memory.attention_8bit_bytes_s += rank.attention_8bit;
    machine.host_memory.attention_4bit_bytes_s += rank.attention_4bit;
    // A copy between host and GPU touches host memory once, one within it twice.
    beside += rank.read_beside_copies + rank.copies_beside_read * (rank.device.is_gpu ? 1 : 2);
    machine.disk.read_bytes_s += rank.disk_read;
    machine.disk.write_bytes_s += rank.disk_write;
  }
  machine.host_memory.total_bytes_s = std::max(machine.host_memory.cores_bytes_s, beside);
  machine.host_link = slowest(ranks, false, &LinkRates::host);
  machine.device_link = slowest(ranks, false, &LinkRates::device);
  machine.network = slowest(ranks, true, &LinkRates::host);
  return machine;
}

std::vector<SharedMemoryRates> measure_shared_memory(const Options& options, const AttentionShape& shape,
                                                     comm::Transport& transport) {
  std::unique_ptr<DeviceProbe> device;
  memory::HostPages huge(options.threads, options.binding);
  std::optional<AttentionReader> reader;
  executor::agree(transport, [&] {
    device = make_probe(options);
    reader.emplace(huge, shape, kAttendedBytes);
  });
  transport.barrier();
  const double copies_alone = device->copy_rate(Way::in, kAlone);
  std::vector<SharedMemoryRates> all;
  for (const int threads : {options.threads / 2, options.threads}) {
    if (threads < options.threads && options.threads < kFewThreads) continue;
    SharedMemoryRates rates{.threads = threads, .copies_alone = copies_alone};
    transport.barrier();
    rates.cores_alone = reader->rate(threads, kAlone);
    transport.barrier();
    std::tie(rates.cores, rates.copies) =
        beside_copies(*device, 2 * kTogether, [&](double seconds) { return reader->rate(threads, seconds); });
    all.push_back(rates);
  }
  return all;
}

Findings measure(const Options& options, comm::Transport& transport) {
  std::unique_ptr<DeviceProbe> device;
  executor::agree(transport, [&] {
    const memory::DiskFile is_writable(options.offload_directory, kMiB);
    device = make_probe(options);
  });
  const auto link = executor::connect_devices(transport, options.gpu, options.comm_device, options.timeout);
  const RankRates own = measure_rank(options, *device, link.get(), transport);
  Findings findings;
  const std::string text = to_json(own).dump();
  const auto bytes = std::as_bytes(std::span(text));
  for (const auto& each : transport.gather({bytes.begin(), bytes.end()}, Rank(0)))
    findings.ranks.push_back(rank_from_json(
        nlohmann::json::parse(std::string_view(reinterpret_cast<const char*>(each.data()), each.size()))));
  if (findings.ranks.empty()) return findings;
  findings.machine =
      to_machine(findings.ranks, static_cast<int>(std::thread::hardware_concurrency()), installed_memory());
  return findings;
}

}  // namespace optpipe::probe
