// What stages report of messages: the sender's wait for its peer is no transfer.
#include <gmock/gmock.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "support/golden.hpp"
#include "support/pipeline.hpp"

namespace optpipe::test {
namespace {

using comm::Channel;

// Which receivers stand ready, by sender.
struct Readiness {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<int, int> ready;
};

constexpr double kBytesPerS = 5e6;
constexpr std::chrono::milliseconds kLate{2};

// A link on which a message of hidden states leaves only when the receiver asks for it, and then at
// kBytesPerS; receivers come late.
class SlowLink final : public comm::Transport {
 public:
  SlowLink(std::unique_ptr<Transport> below, Readiness& readiness)
      : below_(std::move(below)), readiness_(readiness) {}

  Rank rank() const override { return below_->rank(); }
  int size() const override { return below_->size(); }
  comm::Node node() const override { return below_->node(); }
  std::string describe() const override { return "slow"; }

  void send(Rank to, Channel channel, std::span<const std::byte> data) override {
    if (channel == Channel::hidden) {
      std::unique_lock lock(readiness_.mutex);
      readiness_.changed.wait(lock, [&] { return readiness_.ready[rank().value] > 0; });
      --readiness_.ready[rank().value];
      lock.unlock();
      std::this_thread::sleep_for(comm::Seconds(static_cast<double>(data.size()) / kBytesPerS));
    }
    below_->send(to, channel, data);
  }

  std::size_t recv(Rank from, Channel channel, std::span<std::byte> buffer) override {
    if (channel == Channel::batch) std::this_thread::sleep_for(kLate);
    if (channel == Channel::hidden) {
      const std::lock_guard lock(readiness_.mutex);
      ++readiness_.ready[from.value];
      readiness_.changed.notify_all();
    }
    return below_->recv(from, channel, buffer);
  }

  void abort(ExitStatus status, const std::string& why) noexcept override { below_->abort(status, why); }

 private:
  std::unique_ptr<Transport> below_;
  Readiness& readiness_;
};

std::vector<double> seconds_of(const Output& output, int rank, schedule::StepKind kind) {
  std::vector<double> seconds;
  for (const auto& timeline : output.timelines)
    for (const auto& time : timeline.times)
      if (timeline.rank == rank && timeline.program.step(time.step).kind == kind)
        seconds.push_back(time.seconds());
  return seconds;
}

void expect_transfers(int ranks, std::int64_t chunk_layers) {
  Readiness readiness;
  const Golden golden = load_golden("pre-ln");
  Setting setting{.ranks = ranks, .gpu_batch_size = 2, .chunk_layers = chunk_layers};
  setting.wrap = [&](auto below) { return std::make_unique<SlowLink>(std::move(below), readiness); };
  const Output output = run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens());
  EXPECT_EQ(output.tokens, golden.tokens);
  for (int rank = 0; rank < ranks; ++rank) {
    const auto sent = seconds_of(output, rank, schedule::StepKind::send_hidden);
    const auto received = seconds_of(output, (rank + 1) % ranks, schedule::StepKind::recv_hidden);
    ASSERT_EQ(sent.size(), received.size());
    const bool sends = rank + 1 < ranks || chunk_layers > 0;
    EXPECT_EQ(sent.empty(), !sends);
    for (std::size_t i = 0; i < sent.size(); ++i)
      EXPECT_LE(sent[i], received[i] + 1e-9) << "message " << i << " of rank " << rank;
    // The first is a whole prompt or more: at least hidden values of four bytes at the link's rate.
    if (sends) {
      EXPECT_GE(sent.at(0), 64 * 4 / kBytesPerS);
    }
  }
}

TEST(MessageTimes, HoldTheTransferAndNotTheWait) { expect_transfers(2, 0); }
TEST(MessageTimes, GoRoundTheRingOfLoopedStages) { expect_transfers(2, 1); }

}  // namespace
}  // namespace optpipe::test
