// Many reads or writes of files at once.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "optpipe/base/units.hpp"

namespace optpipe::memory {

struct DiskRequest {
  int descriptor = -1;
  bool write = false;
  Bytes offset = 0;
  std::byte* memory = nullptr;  // only read from in a write
  Bytes bytes = 0;
};

// Requests are cut into pieces of this size, so that a few large ones keep a disk as busy as many small ones.
inline constexpr Bytes kDiskPiece = 512 * 1024;
inline constexpr std::size_t kDiskDepth = 32;  // pieces under way

class DiskEngine {
 public:
  virtual ~DiskEngine() = default;
  // Returns when all requests are done, in any order; short transfers are continued. One call at a time.
  // Throws SystemError that says which request failed and why.
  virtual void run(std::span<const DiskRequest> requests) = 0;
  virtual std::string name() const = 0;  // "io_uring", "8 threads"
};

// Null where the program is built without liburing or the kernel refuses; `why` then says so.
std::unique_ptr<DiskEngine> make_uring_engine(std::string& why);
std::unique_ptr<DiskEngine> make_pool_engine(int threads);

std::vector<DiskRequest> cut_into_pieces(std::span<const DiskRequest> requests);
// What is left of a piece after `done` bytes; false where it is complete. Throws where nothing was
// transferred.
bool advance(DiskRequest& piece, Bytes done);
[[noreturn]] void fail(const DiskRequest& piece, int error);

}  // namespace optpipe::memory
