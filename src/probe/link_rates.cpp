#include "probe/link_rates.hpp"

#include <algorithm>
#include <chrono>
#include <span>
#include <vector>

namespace optpipe::probe {
namespace {

using comm::Channel;

constexpr int kRoundTrips = 200, kMessages = 16, kDeviceMessages = 40;
constexpr Bytes kMessage = 4 * kMiB;  // as hidden states travel through host memory
constexpr Bytes kSmall = 64;

template <class Action>
double seconds_of(Action action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// One end of a pair: the lower rank sends and takes the time, its neighbour answers.
class Pair {
 public:
  Pair(comm::Transport& transport, Rank peer, bool sends)
      : transport_(transport), peer_(peer), sends_(sends), buffer_(kMessage) {}

  simulator::Channel by_host() {
    exchange(kSmall);  // connects
    const double round_trips_s = seconds_of([&] {
      for (int i = 0; i < kRoundTrips; ++i) exchange(kSmall);
    });
    one_way(kMessage);
    const double messages_s = seconds_of([&] {
      for (int i = 0; i < kMessages; ++i) one_way(kMessage);
      answer();
    });
    return {round_trips_s / (2 * kRoundTrips), static_cast<double>(kMessages * kMessage) / messages_s};
  }

  simulator::Channel by_device(executor::DeviceProbe& device, comm::DeviceLink& link) {
    const auto send = [&](Bytes bytes, int count) {
      return seconds_of([&] {
        for (int i = 0; i < count; ++i) sends_ ? device.send(link, bytes) : device.recv(link, bytes);
        answer();
      });
    };
    send(executor::DeviceProbe::kLinkBytes, 2);
    const double small_s = send(kSmall, kDeviceMessages) / kDeviceMessages;
    const double large_s = send(executor::DeviceProbe::kLinkBytes, kDeviceMessages) / kDeviceMessages;
    return {small_s,
            static_cast<double>(executor::DeviceProbe::kLinkBytes) / std::max(large_s - small_s, 1e-9)};
  }

 private:
  std::span<std::byte> part(Bytes bytes) { return std::span(buffer_).first(bytes); }
  void one_way(Bytes bytes) {
    if (sends_)
      transport_.send(peer_, Channel::hidden, part(bytes));
    else
      transport_.recv(peer_, Channel::hidden, part(bytes));
  }
  void answer() {
    if (sends_)
      transport_.recv(peer_, Channel::tokens, part(kSmall));
    else
      transport_.send(peer_, Channel::tokens, part(kSmall));
  }
  void exchange(Bytes bytes) {
    one_way(bytes);
    answer();
  }

  comm::Transport& transport_;
  Rank peer_;
  bool sends_;
  std::vector<std::byte> buffer_;
};

}  // namespace

LinkRates link_rates(comm::Transport& transport, executor::DeviceProbe& device, comm::DeviceLink* link) {
  LinkRates rates;
  for (int first = 0; first + 1 < transport.size(); ++first) {
    transport.barrier();
    const int own = transport.rank().value;
    if (own != first && own != first + 1) continue;
    const bool sends = own == first;
    Pair pair(transport, Rank(sends ? first + 1 : first), sends);
    LinkRates measured;
    measured.host = pair.by_host();
    if (link != nullptr) measured.device = pair.by_device(device, *link);
    if (sends) rates = measured;
  }
  return rates;
}

}  // namespace optpipe::probe
