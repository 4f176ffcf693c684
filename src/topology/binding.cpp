#include "optpipe/topology/binding.hpp"

#include <sys/mman.h>

#include <cerrno>

#include "optpipe/topology/page_query.hpp"

namespace optpipe::topology {
namespace {

constexpr Bytes kProbe = 16 * 4096;
constexpr Bytes kReserve = 256 * kMiB;  // a node is not filled to its last page

// The errno with which the kernel answers a real binding of real pages; 0: it obeys.
int try_memory_binding(const Topology& topology, const IndexSet& nodes) {
  void* pages = mmap(nullptr, kProbe, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return errno;
  const int error = topology.bind_memory(pages, kProbe, nodes, true);
  munmap(pages, kProbe);
  return error;
}

}  // namespace

std::string_view name_of(MemoryBinding binding) {
  switch (binding) {
    case MemoryBinding::bound:
      return "bound";
    case MemoryBinding::first_touch:
      return "first touch";
    case MemoryBinding::unbound:
      break;
  }
  return "not bound";
}

Binding::Binding(Topology topology, Placement placement)
    : topology_(std::move(topology)), placement_(std::move(placement)), cpus_(placement_.cpus()) {
  for (const IndexSet& core : placement_.cores) compute_cpus_ |= IndexSet{core.first()};
}

void Binding::carry_out(Pinning pinning) {
  if (!topology_.is_this_machine()) return;  // hwloc would say yes to everything
  carried_out_ = true;
  pinning_ = pinning;
  const std::lock_guard lock(mutex_);
  status_.cpu_error = topology_.bind_process(cpus_);
  if (placement_.nodes.empty()) return;
  status_.memory_error = try_memory_binding(topology_, placement_.nodes);
  if (status_.memory_error == 0)
    status_.memory = MemoryBinding::bound;
  else if (status_.cpu_error == 0)
    status_.memory = MemoryBinding::first_touch;
}

void Binding::pin_compute_thread(int index, int team) const noexcept {
  if (!carried_out_) return;
  const auto threads = static_cast<std::size_t>(team);
  if (placement_.shared || threads > placement_.cores.size()) return release_thread();
  const bool alone = pinning_ == Pinning::threads && threads == placement_.cores.size();
  // A refusal shows in the status: it is that of carry_out().
  topology_.bind_thread(alone ? placement_.cores[static_cast<std::size_t>(index) % threads] : compute_cpus_);
}

void Binding::release_thread() const noexcept {
  if (carried_out_) topology_.bind_thread(cpus_);
}

bool Binding::has_room(Bytes bytes) const {
  Bytes room = 0;
  for (const int node : placement_.nodes) {
    const auto available = available_on_node(node);
    if (!available) return true;  // the kernel alone knows
    room += *available;
  }
  const auto neighbours = static_cast<Bytes>(placement_.node_ranks);
  return room > kReserve && (room - kReserve) / neighbours >= bytes;
}

void Binding::place(std::span<std::byte> pages) {
  if (!carried_out_) return;
  const std::lock_guard lock(mutex_);
  status_.placed += pages.size();
  if (status_.memory != MemoryBinding::bound) return;
  const bool strict = has_room(pages.size());
  if (!strict) status_.preferred += pages.size();
  const int error = topology_.bind_memory(pages.data(), pages.size(), placement_.nodes, strict);
  if (error == 0) return;
  status_.memory_error = error;
  status_.memory = MemoryBinding::first_touch;
}

void Binding::verify(std::span<const std::byte> pages) {
  if (!carried_out_ || placement_.nodes.empty()) return;
  const auto counts = locate_pages(pages);
  if (!counts) return;
  const std::lock_guard lock(mutex_);
  for (const auto& [node, count] : *counts) {
    status_.pages_seen += count;
    if (placement_.nodes.contains(node)) status_.pages_at_home += count;
  }
}

BindingStatus Binding::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

}  // namespace optpipe::topology
