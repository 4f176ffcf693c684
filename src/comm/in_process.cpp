#include "optpipe/comm/in_process.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <tuple>

namespace optpipe::comm {

struct InProcessWorld::State {
  using Key = std::tuple<Rank, Rank, Channel>;  // from, to

  int ranks = 0;
  Seconds timeout{};
  std::mutex mutex;
  std::condition_variable changed;
  std::map<Key, std::deque<std::vector<std::byte>>> mailboxes;
  std::string failure;  // why all must end; empty: all is well
};

namespace {

class InProcess final : public Transport {
 public:
  InProcess(InProcessWorld::State& world, Rank rank) : world_(world), rank_(rank) {}

  Rank rank() const override { return rank_; }
  int size() const override { return world_.ranks; }
  Node node() const override { return {"in-process", rank_.value, world_.ranks}; }
  std::string describe() const override { return "in-process"; }

  void send(Rank to, Channel channel, std::span<const std::byte> data) override {
    const std::lock_guard lock(world_.mutex);
    end_if_failed();
    world_.mailboxes[{rank_, to, channel}].emplace_back(data.begin(), data.end());
    world_.changed.notify_all();
  }

  std::size_t recv(Rank from, Channel channel, std::span<std::byte> buffer) override {
    std::unique_lock lock(world_.mutex);
    auto& mailbox = world_.mailboxes[{from, rank_, channel}];
    const bool arrived = world_.changed.wait_for(lock, world_.timeout,
                                                 [&] { return !mailbox.empty() || !world_.failure.empty(); });
    end_if_failed();
    if (!arrived)
      throw PeerError(fmt::format("rank {} waited {:.0f} s for a message of rank {}", rank_.value,
                                  world_.timeout.count(), from.value));
    const std::vector<std::byte> message = std::move(mailbox.front());
    mailbox.pop_front();
    if (message.size() > buffer.size())
      throw PeerError(fmt::format("rank {} sent {} bytes where rank {} has room for {}", from.value,
                                  message.size(), rank_.value, buffer.size()));
    std::ranges::copy(message, buffer.begin());
    return message.size();
  }

  void abort(ExitStatus, const std::string& why) noexcept override {
    const std::lock_guard lock(world_.mutex);
    if (world_.failure.empty()) world_.failure = fmt::format("rank {} failed: {}", rank_.value, why);
    world_.changed.notify_all();
  }

 private:
  void end_if_failed() const {
    if (!world_.failure.empty()) throw PeerError(world_.failure);
  }

  InProcessWorld::State& world_;
  Rank rank_;
};

}  // namespace

InProcessWorld::InProcessWorld(int ranks, Seconds timeout) : state_(std::make_unique<State>()) {
  state_->ranks = ranks;
  state_->timeout = timeout;
}

InProcessWorld::~InProcessWorld() = default;

std::unique_ptr<Transport> InProcessWorld::endpoint(Rank rank) {
  return std::make_unique<InProcess>(*state_, rank);
}

}  // namespace optpipe::comm
