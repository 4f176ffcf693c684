#include <fmt/format.h>

#include <cerrno>
#include <functional>
#include <new>

#include "optpipe/base/error.hpp"
#include "topology/handle.hpp"

namespace optpipe::topology {
namespace {

void expect(int status, const std::string& what) {
  if (status != 0) throw InputError(what);
}

std::shared_ptr<const Topology::Handle> load(const std::string& what,
                                             const std::function<int(hwloc_topology_t)>& choose_source) {
  auto handle = std::make_shared<Topology::Handle>();
  const std::string failure = fmt::format("hwloc cannot read {}", what);
  expect(hwloc_topology_init(&handle->get), failure);
  expect(choose_source(handle->get), failure);
  // The whole machine, so that ranks in different cgroups of one node agree on what there is.
  expect(hwloc_topology_set_flags(handle->get, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED), failure);
  expect(hwloc_topology_set_io_types_filter(handle->get, HWLOC_TYPE_FILTER_KEEP_IMPORTANT), failure);
  expect(hwloc_topology_load(handle->get), failure);
  return handle;
}

int outcome(int status) { return status == 0 ? 0 : errno != 0 ? errno : ENOSYS; }

}  // namespace

Bitmap to_bitmap(const IndexSet& set) {
  Bitmap bitmap(hwloc_bitmap_alloc());
  if (!bitmap) throw std::bad_alloc();
  for (const int index : set)
    if (hwloc_bitmap_set(bitmap.get(), static_cast<unsigned>(index)) != 0) throw std::bad_alloc();
  return bitmap;
}

IndexSet to_index_set(hwloc_const_bitmap_t bitmap) {
  std::vector<int> indices;
  for (int i = hwloc_bitmap_first(bitmap); i >= 0; i = hwloc_bitmap_next(bitmap, i)) indices.push_back(i);
  return IndexSet(std::move(indices));
}

Topology::Topology(std::shared_ptr<const Handle> handle)
    : handle_(std::move(handle)), machine_(describe_machine(handle_->get)) {}

Topology Topology::live() {
  return Topology(load("the topology of this machine", [](hwloc_topology_t) { return 0; }));
}

Topology Topology::synthetic(const std::string& description) {
  return Topology(
      load(fmt::format("the synthetic topology '{}'", description), [&](hwloc_topology_t topology) {
        return hwloc_topology_set_synthetic(topology, description.c_str());
      }));
}

Topology Topology::from_xml(const std::filesystem::path& file) {
  return Topology(load(fmt::format("the topology in {}", file.string()), [&](hwloc_topology_t topology) {
    return hwloc_topology_set_xml(topology, file.c_str());
  }));
}

bool Topology::is_this_machine() const { return hwloc_topology_is_thissystem(handle_->get) != 0; }

IndexSet Topology::inherited_cpus() const {
  const Bitmap cpus(hwloc_bitmap_alloc());
  if (!is_this_machine() || !cpus || hwloc_get_cpubind(handle_->get, cpus.get(), HWLOC_CPUBIND_THREAD) != 0 ||
      hwloc_bitmap_weight(cpus.get()) < 0)
    return machine_.allowed_cpus;
  return to_index_set(cpus.get()) & machine_.allowed_cpus;
}

int Topology::bind_process(const IndexSet& cpus) const {
  errno = 0;
  return outcome(hwloc_set_cpubind(handle_->get, to_bitmap(cpus).get(), HWLOC_CPUBIND_PROCESS));
}

int Topology::bind_thread(const IndexSet& cpus) const {
  errno = 0;
  return outcome(hwloc_set_cpubind(handle_->get, to_bitmap(cpus).get(), HWLOC_CPUBIND_THREAD));
}

int Topology::bind_memory(void* pages, Bytes bytes, const IndexSet& nodes, bool strict) const {
  // Without STRICT hwloc asks for a preferred node only, and without BYNODESET it takes CPUs for nodes.
  const int flags = HWLOC_MEMBIND_BYNODESET | HWLOC_MEMBIND_NOCPUBIND | (strict ? HWLOC_MEMBIND_STRICT : 0);
  const auto policy = nodes.size() > 1 ? HWLOC_MEMBIND_INTERLEAVE : HWLOC_MEMBIND_BIND;
  errno = 0;
  return outcome(hwloc_set_area_membind(handle_->get, pages, bytes, to_bitmap(nodes).get(), policy, flags));
}

}  // namespace optpipe::topology
