#include "optpipe/planner/ledger.hpp"

#include <algorithm>

#include "optpipe/schedule/timeline.hpp"

namespace optpipe::planner {
namespace {

constexpr Bytes kPage = 4096;
constexpr Bytes kGpuArenas = 6;  // besides that of the X cache
// A step, the room that its vector keeps for more, its time, and what the report makes of both.
constexpr Bytes kStepBytes = 2 * sizeof(schedule::Step) + 4 * sizeof(schedule::StepTime);

// One arena: whole pages. What rounding adds goes to the first part.
struct Part {
  MemoryClass what;
  Bytes bytes;
};
void add_arena(Ledger& ledger, Place place, std::initializer_list<Part> parts) {
  Bytes sum = 0;
  for (const Part& part : parts) {
    ledger.add(place, part.what, part.bytes);
    sum += part.bytes;
  }
  ledger.add(place, parts.begin()->what, round_up(sum, kPage) - sum);
}

// Buffers of the threads that read weights: for what is converted, and for what goes to disk or to a GPU.
Bytes reading_bytes(const StagePlan& plan, int threads) {
  const bool gpu = plan.backend == Backend::cuda;
  const bool aside = plan.weights.bytes[2] > 0 || (gpu && plan.weights.bytes[0] > 0);
  const bool converted = !plan.weights.groups.empty() &&
                         std::ranges::any_of(plan.weights.groups.front().tensors, [](const auto& tensor) {
                           return is_quantized(tensor.format.format);
                         });
  const int buffers = (aside ? 1 : 0) + (converted ? 1 : 0);
  return static_cast<Bytes>(buffers * threads) * runtime::kReading;
}

// Weights are read before the other arenas are taken, so only what these leave uncovered is added to the
// peak.
Bytes reading_beyond_arenas(const StagePlan& plan, const Ledger& arenas, int threads) {
  const Bytes later = arenas.host() - arenas.host(MemoryClass::weights);
  const Bytes reading = reading_bytes(plan, threads);
  return reading > later ? reading - later : 0;
}

}  // namespace

const char* name_of(Place place) {
  constexpr std::array names{"GPU", "host, pinned", "host", "disk"};
  return names[static_cast<std::size_t>(place)];
}

const char* name_of(MemoryClass what) {
  constexpr std::array names{"weights",    "KV cache",      "activations", "staging",
                             "workspaces", "communication", "runtime"};
  return names[static_cast<std::size_t>(what)];
}

Bytes Ledger::total(Place place) const {
  Bytes sum = 0;
  for (const Bytes bytes : bytes_[static_cast<std::size_t>(place)]) sum += bytes;
  return sum;
}

Ledger& Ledger::operator+=(const Ledger& other) {
  for (const Place place : kPlaces)
    for (const MemoryClass what : kMemoryClasses) add(place, what, other.at(place, what));
  return *this;
}

Ledger arenas(const StagePlan& plan) {
  const bool gpu = plan.backend == Backend::cuda;
  const Place device = gpu ? Place::gpu : Place::plain, host = gpu ? Place::pinned : Place::plain;
  const BackendNeeds& needs = plan.needs;
  const auto homes = plan.hidden.all_homes();
  Ledger ledger;
  using enum MemoryClass;
  add_arena(ledger, device, {{weights, plan.weights.bytes[0]}, {staging, plan.weights.all_slots()}});
  add_arena(ledger, host, {{weights, plan.weights.bytes[1]}, {staging, plan.weights.all_stages()}});
  add_arena(ledger, device, {{kv, plan.kv.bytes[0]}, {staging, plan.kv.all_slots()}});
  add_arena(ledger, host, {{kv, plan.kv.bytes[1]}, {staging, plan.kv.all_stages()}});
  add_arena(ledger, device, {{activations, homes[0] + plan.hidden.all_work()}});
  add_arena(ledger, host, {{activations, homes[1]}, {staging, plan.hidden.all_stages()}});
  add_arena(ledger, device, {{workspaces, needs.attention_bytes + needs.decode_bytes + needs.scratch_bytes}});
  add_arena(ledger, device, {{workspaces, needs.x_bytes}});
  add_arena(ledger, device, {{workspaces, needs.widened_bytes}});
  ledger.add(device, workspaces, needs.library_bytes);
  add_arena(ledger, device, {{workspaces, needs.graph_bytes}});
  add_arena(ledger, host, {{workspaces, needs.graph_bytes}});
  add_arena(ledger, host, {{workspaces, needs.small_bytes}});
  add_arena(ledger, host, {{workspaces, needs.host_rows_bytes}});
  add_arena(ledger, host, {{communication, needs.token_bytes}});
  add_arena(ledger, host, {{communication, needs.link_bytes}});
  ledger.add(Place::disk, weights, plan.weights.bytes[2]);
  ledger.add(Place::disk, kv, plan.kv.bytes[2]);
  ledger.add(Place::disk, activations, homes[2]);
  return ledger;
}

Ledger make_ledger(const StagePlan& plan, const RuntimeUse& use) {
  Ledger ledger = arenas(plan);
  using enum MemoryClass;
  ledger.add(Place::plain, MemoryClass::runtime,
             use.process + reading_beyond_arenas(plan, ledger, use.threads) + use.prompts +
                 static_cast<Bytes>(use.steps) * kStepBytes);
  if (plan.neighbours > 0) ledger.add(Place::plain, communication, runtime::kMpi);
  if (plan.backend == Backend::cpu) {
    ledger.add(Place::plain, MemoryClass::runtime, static_cast<Bytes>(use.threads) * runtime::kThread);
    return ledger;
  }
  const auto linked = static_cast<Bytes>(plan.device_link ? plan.neighbours : 0);
  ledger.add(Place::gpu, MemoryClass::runtime,
             runtime::kCudaContext + runtime::kCudaKernels +
                 (kGpuArenas + (plan.needs.x_bytes > 0 ? 1 : 0) + (plan.needs.widened_bytes > 0 ? 1 : 0)) *
                     runtime::kGpuGranule);
  ledger.add(Place::gpu, communication, linked * runtime::kNcclGpu);
  ledger.add(Place::plain, MemoryClass::runtime, runtime::kCudaHost);
  ledger.add(Place::plain, communication, linked * runtime::kNcclHost);
  return ledger;
}

}  // namespace optpipe::planner
