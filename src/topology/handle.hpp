// Owners of hwloc's objects.
#pragma once

#include <hwloc.h>

#include <memory>

#include "optpipe/topology/machine.hpp"

namespace optpipe::topology {

struct Topology::Handle {
  Handle() = default;
  ~Handle() {
    if (get != nullptr) hwloc_topology_destroy(get);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  hwloc_topology_t get = nullptr;
};

struct BitmapDeleter {
  void operator()(hwloc_bitmap_t bitmap) const noexcept { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, BitmapDeleter>;

Bitmap to_bitmap(const IndexSet& set);
IndexSet to_index_set(hwloc_const_bitmap_t bitmap);  // of a finite one

// The facts of a loaded topology.
Machine describe_machine(hwloc_topology_t topology);

}  // namespace optpipe::topology
