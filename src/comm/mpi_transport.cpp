#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <system_error>
#include <thread>

#include "comm/backoff.hpp"
#include "optpipe/base/environment.hpp"
#include "optpipe/base/log.hpp"
#include "optpipe/comm/mpi.hpp"

namespace optpipe::comm {
namespace {

std::string error_text(int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  return text.data();
}

void check(int code, const char* call) {
  if (code != MPI_SUCCESS) throw PeerError(fmt::format("{} failed: {}", call, error_text(code)));
}

// MPI runs at MPI_THREAD_SERIALIZED: every call is made under one lock and none of them blocks, so that a
// send and a receive of two threads make progress side by side.
class Mpi final : public Transport {
 public:
  explicit Mpi(Seconds timeout) : timeout_(timeout) {
    int provided = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
    if (provided < MPI_THREAD_SERIALIZED) {
      MPI_Finalize();
      throw SystemError(
          "this MPI library offers no MPI_THREAD_SERIALIZED, which optpipe needs: use Open MPI 4.1 or newer");
    }
    check(MPI_Comm_dup(MPI_COMM_WORLD, &world_), "MPI_Comm_dup");
    check(MPI_Comm_set_errhandler(world_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(world_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(world_, &size_), "MPI_Comm_size");
    find_node();
  }

  ~Mpi() override {
    MPI_Comm_free(&world_);
    MPI_Finalize();
  }

  Rank rank() const override { return Rank(rank_); }
  int size() const override { return size_; }
  Node node() const override { return node_; }
  std::string describe() const override { return mpi_library(); }

  // Messages beyond a chunk go as full chunks and a last, shorter one (perhaps empty), which ends the
  // message: MPI counts are ints.
  void send(Rank to, Channel channel, std::span<const std::byte> data) override {
    for (bool last = false; !last;) {
      const std::size_t size = std::min(data.size(), kChunk);
      last = size < kChunk;
      MPI_Request request = MPI_REQUEST_NULL;
      {
        const std::lock_guard lock(mutex_);
        check(MPI_Isend(data.data(), static_cast<int>(size), MPI_BYTE, to.value, tag(channel), world_,
                        &request),
              "MPI_Isend");
      }
      finish(request, "to send to", to, channel);
      data = data.subspan(size);
    }
  }

  std::size_t recv(Rank from, Channel channel, std::span<std::byte> buffer) override {
    std::size_t total = 0;
    for (bool last = false; !last;) {
      const auto rest = buffer.subspan(total);
      const std::size_t room = std::min(rest.size(), kChunk);
      MPI_Request request = MPI_REQUEST_NULL;
      {
        const std::lock_guard lock(mutex_);
        check(MPI_Irecv(rest.data(), static_cast<int>(room), MPI_BYTE, from.value, tag(channel), world_,
                        &request),
              "MPI_Irecv");
      }
      const MPI_Status status = finish(request, "for a message of", from, channel);
      int count = 0;
      check(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
      total += static_cast<std::size_t>(count);
      last = static_cast<std::size_t>(count) < kChunk;
    }
    return total;
  }

  // MPI_Abort tells the launcher first, and waits for it for ever where the network is gone.
  void abort(ExitStatus status, const std::string&) noexcept override {
    try {
      std::thread([status] {
        std::this_thread::sleep_for(kAbortPatience);
        std::_Exit(static_cast<int>(status));
      }).detach();
    } catch (const std::system_error&) {  // no thread: then without the net
    }
    MPI_Abort(world_, static_cast<int>(status));
  }

 private:
  static constexpr std::size_t kChunk = std::size_t{256} << 20;
  static constexpr Seconds kAbortPatience{4};
  static constexpr std::chrono::milliseconds kTurn{200};
  static constexpr int kTurns = 5;

  static int tag(Channel channel) { return static_cast<int>(channel) + 1; }

  // How long to wait for a peer. Where one is silent, many ranks wait, for it or for those that wait for it;
  // the one that is likely to be next to it speaks first and ends the others: the lowest, but tokens have
  // come a long way.
  Seconds patience(Channel channel) const {
    return timeout_ + (channel == Channel::tokens ? kTurn * kTurns : kTurn * std::min(rank_, kTurns - 1));
  }

  MPI_Status finish(MPI_Request& request, const char* what, Rank peer, Channel channel) {
    auto last = std::chrono::steady_clock::now();
    auto deadline = last + patience(channel);
    MPI_Status status{};
    for (Backoff backoff;; backoff.pause()) {
      int done = 0;
      {
        const std::lock_guard lock(mutex_);
        check(MPI_Test(&request, &done, &status), "MPI_Test");
      }
      if (done) return status;
      const auto now = std::chrono::steady_clock::now();
      if (now - last > kTurn) deadline += now - last;  // it was this process that stood still
      last = now;
      if (now > deadline)
        throw PeerError(
            fmt::format("waited {:.0f} s {} rank {}: it is stopped, lost or far too slow (raise "
                        "--comm-timeout if it is only "
                        "slow)",
                        timeout_.count(), what, peer.value));
    }
  }

  void find_node() {
    std::array<char, MPI_MAX_PROCESSOR_NAME> name{};
    int length = 0;
    check(MPI_Get_processor_name(name.data(), &length), "MPI_Get_processor_name");
    node_.host = name.data();
    MPI_Comm local = MPI_COMM_NULL;
    check(MPI_Comm_split_type(world_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &local),
          "MPI_Comm_split_type");
    check(MPI_Comm_rank(local, &node_.local_rank), "MPI_Comm_rank");
    check(MPI_Comm_size(local, &node_.local_size), "MPI_Comm_size");
    check(MPI_Comm_free(&local), "MPI_Comm_free");
  }

  std::mutex mutex_;
  MPI_Comm world_ = MPI_COMM_NULL;
  Seconds timeout_;
  int rank_ = 0;
  int size_ = 1;
  Node node_;
};

}  // namespace

std::string mpi_library() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string version(text.data());
  return version.substr(0, version.find_first_of(",\n"));
}

std::unique_ptr<Transport> connect(Seconds timeout) {
  const LaunchEnvironment launch = launch_environment();
  if (!launch.size) return std::make_unique<Alone>();
  auto mpi = std::make_unique<Mpi>(timeout);
  if (mpi->size() != *launch.size)
    throw UsageError(fmt::format(
        "{} started {} processes, but MPI here ({}) knows of {}: the launcher belongs to another MPI than "
        "the one optpipe is linked with; start it with the mpirun of that library",
        launch.launcher, *launch.size, mpi_library(), mpi->size()));
  if (mpi->size() == 1) return std::make_unique<Alone>();
  return mpi;
}

}  // namespace optpipe::comm
