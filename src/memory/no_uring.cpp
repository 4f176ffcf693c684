// Stands in for io_uring where the program is built without liburing.
#include "memory/disk_engine.hpp"

namespace optpipe::memory {

std::unique_ptr<DiskEngine> make_uring_engine(std::string& why) {
  why = "built without liburing";
  return nullptr;
}

}  // namespace optpipe::memory
