// Disk requests by a pool of threads.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "memory/disk_engine.hpp"

namespace optpipe::memory {
namespace {

class PoolEngine final : public DiskEngine {
 public:
  explicit PoolEngine(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this](std::stop_token stop) { work(stop); });
  }
  ~PoolEngine() override {
    for (auto& thread : threads_) thread.request_stop();
    wake_.notify_all();
  }

  std::string name() const override { return fmt::format("{} threads", threads_.size()); }

  void run(std::span<const DiskRequest> requests) override {
    std::unique_lock lock(mutex_);
    pieces_ = cut_into_pieces(requests);
    next_ = 0;
    left_ = pieces_.size();
    failure_ = nullptr;
    wake_.notify_all();
    done_.wait(lock, [&] { return left_ == 0; });  // ends: a read or write of a disk file comes back
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void work(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [&] { return next_ < pieces_.size(); })) {
      const DiskRequest piece = pieces_[next_++];
      const bool skip = failure_ != nullptr;
      lock.unlock();
      std::exception_ptr failure;
      try {
        if (!skip) transfer(piece);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      if (failure && !failure_) failure_ = failure;
      if (--left_ == 0) done_.notify_all();
    }
  }

  static void transfer(DiskRequest piece) {
    while (true) {
      const auto offset = static_cast<off_t>(piece.offset);
      const ssize_t count = piece.write ? pwrite(piece.descriptor, piece.memory, piece.bytes, offset)
                                        : pread(piece.descriptor, piece.memory, piece.bytes, offset);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail(piece, errno);
      if (!advance(piece, static_cast<Bytes>(count))) return;
    }
  }

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::condition_variable done_;
  std::vector<DiskRequest> pieces_;
  std::size_t next_ = 0, left_ = 0;
  std::exception_ptr failure_;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

}  // namespace

std::unique_ptr<DiskEngine> make_pool_engine(int threads) { return std::make_unique<PoolEngine>(threads); }

}  // namespace optpipe::memory
