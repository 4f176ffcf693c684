// What a context holds.
#pragma once

#include <cstddef>

#include "kernels/cuda/matmul.hpp"
#include "optpipe/kernels/cuda.hpp"

namespace optpipe::kernels::cuda {

// What launches adapt to.
struct Device {
  int capability = 0;         // 75, 80, 90, ...
  int processors = 0;         // streaming multiprocessors
  int shared_bytes = 0;       // most shared memory of a block
  bool reads_pinned = false;  // kernels reach registered host memory at the host's addresses
};

// Device memory; freed in the destructor.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(Bytes bytes);
  ~DeviceBuffer();
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  std::byte* data() const { return data_; }
  Bytes bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  Bytes bytes_ = 0;
};

// The workspace serves whatever runs on the stream at the moment: products, or attention's partial results.
struct Context::Parts {
  Parts(Stream stream_, Bytes workspace_bytes, Bytes widening_bytes);

  Stream stream;
  Device device;
  DeviceBuffer workspace;
  DeviceBuffer widened;  // rows of a quantized weight
  Matmul matmul;
};

}  // namespace optpipe::kernels::cuda
