// Disk requests through io_uring: one thread keeps many under way.
#include <fmt/format.h>
#include <liburing.h>

#include <cerrno>
#include <cstring>

#include "memory/disk_engine.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::memory {
namespace {

constexpr int kTimeoutSeconds = 120;  // a disk that answers nothing for so long is lost

class UringEngine final : public DiskEngine {
 public:
  explicit UringEngine(const io_uring& ring) : ring_(ring), slots_(kDiskDepth) {
    for (std::size_t i = 0; i < kDiskDepth; ++i) free_.push_back(i);
  }
  ~UringEngine() override { io_uring_queue_exit(&ring_); }

  std::string name() const override { return "io_uring"; }

  // After a failure what is under way is awaited too, because the kernel still writes to its memory.
  void run(std::span<const DiskRequest> requests) override {
    const auto pieces = cut_into_pieces(requests);
    std::size_t next = 0, under_way = 0;
    std::exception_ptr failure;
    while (next < pieces.size() || under_way > 0) {
      while (!failure && next < pieces.size() && !free_.empty()) {
        const std::size_t slot = free_.back();
        free_.pop_back();
        slots_[slot] = pieces[next++];
        prepare(slot);
        ++under_way;
      }
      if (under_way == 0) break;
      submit();
      try {
        const std::size_t slot = reap();
        if (!failure && is_unfinished_) {
          prepare(slot);
          continue;
        }
        free_.push_back(slot);
        --under_way;
      } catch (const Failed& failed) {
        if (!failure) failure = failed.cause;
        free_.push_back(failed.slot);
        --under_way;
      }
    }
    if (failure) std::rethrow_exception(failure);
  }

 private:
  struct Failed {
    std::size_t slot;
    std::exception_ptr cause;
  };

  void prepare(std::size_t slot) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    OPTPIPE_CHECK(entry != nullptr, "more than {} disk requests under way", kDiskDepth);
    const DiskRequest& piece = slots_[slot];
    if (piece.write)
      io_uring_prep_write(entry, piece.descriptor, piece.memory, static_cast<unsigned>(piece.bytes),
                          piece.offset);
    else
      io_uring_prep_read(entry, piece.descriptor, piece.memory, static_cast<unsigned>(piece.bytes),
                         piece.offset);
    io_uring_sqe_set_data64(entry, slot);
  }

  void submit() {
    int status = 0;
    do status = io_uring_submit(&ring_);
    while (status == -EINTR || status == -EAGAIN);
    if (status < 0) throw SystemError(fmt::format("io_uring_submit failed: {}", std::strerror(-status)));
  }

  // The slot of the next piece to come back; is_unfinished_ says whether some of it is left.
  std::size_t reap() {
    io_uring_cqe* entry = nullptr;
    __kernel_timespec timeout{.tv_sec = kTimeoutSeconds, .tv_nsec = 0};
    int status = 0;
    do status = io_uring_wait_cqe_timeout(&ring_, &entry, &timeout);
    while (status == -EINTR || status == -EAGAIN);
    if (status == -ETIME)
      throw SystemError(
          fmt::format("the disk of the offload file has not answered for {} s", kTimeoutSeconds));
    if (status < 0) throw SystemError(fmt::format("io_uring_wait_cqe failed: {}", std::strerror(-status)));
    const auto slot = static_cast<std::size_t>(io_uring_cqe_get_data64(entry));
    const int result = entry->res;
    io_uring_cqe_seen(&ring_, entry);
    DiskRequest& piece = slots_[slot];
    is_unfinished_ = true;
    if (result == -EINTR || result == -EAGAIN) return slot;
    try {
      if (result < 0) fail(piece, -result);
      is_unfinished_ = advance(piece, static_cast<Bytes>(result));
    } catch (...) {
      throw Failed{slot, std::current_exception()};
    }
    return slot;
  }

  io_uring ring_;
  std::vector<DiskRequest> slots_;
  std::vector<std::size_t> free_;
  bool is_unfinished_ = false;
};

}  // namespace

std::unique_ptr<DiskEngine> make_uring_engine(std::string& why) {
  io_uring ring{};
  if (const int status = io_uring_queue_init(2 * kDiskDepth, &ring, 0); status < 0) {
    why = fmt::format("the kernel refuses io_uring: {}", std::strerror(-status));
    return nullptr;
  }
  return std::make_unique<UringEngine>(ring);
}

}  // namespace optpipe::memory
