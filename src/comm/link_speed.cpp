#include "optpipe/comm/link_speed.hpp"

#include <algorithm>
#include <cstring>

namespace optpipe::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kSmall = 8, kFirst = std::size_t{64} << 10, kLast = std::size_t{16} << 20;
constexpr int kRoundTrips = 8;

struct Measured {
  double latency_s = 0, bytes_per_s = 0;
};

// Sends `bytes` and waits for the answer; a message of no bytes ends the measurement, without an answer.
class Sender {
 public:
  Sender(Transport& transport, Rank peer) : transport_(transport), peer_(peer), data_(kLast) {}

  Measured measure(Seconds budget) {
    const auto end = Clock::now() + budget;
    double round_trip_s = seconds_of(kSmall);
    for (int i = 1; i < kRoundTrips && Clock::now() < end; ++i)
      round_trip_s = std::min(round_trip_s, seconds_of(kSmall));
    double rate = 0;
    for (auto bytes = kFirst; bytes <= kLast && (rate == 0 || Clock::now() < end); bytes *= 2) {
      const double seconds = seconds_of(bytes);
      // On a busy machine even the shortest round trip may have been held up longer than this message.
      rate = static_cast<double>(bytes) / (seconds - std::min(round_trip_s, seconds / 2));
    }
    transport_.send(peer_, Channel::control, {});
    return {round_trip_s / 2, rate};
  }

 private:
  double seconds_of(std::size_t bytes) {
    std::byte answer;
    const auto begin = Clock::now();
    transport_.send(peer_, Channel::control, std::span(data_).first(bytes));
    transport_.recv(peer_, Channel::control, {&answer, 1});
    return Seconds(Clock::now() - begin).count();
  }

  Transport& transport_;
  Rank peer_;
  std::vector<std::byte> data_;
};

void answer(Transport& transport, Rank peer) {
  std::vector<std::byte> data(kLast);
  constexpr std::byte kAnswer{1};
  while (transport.recv(peer, Channel::control, data) > 0)
    transport.send(peer, Channel::control, {&kAnswer, 1});
}

std::vector<std::byte> encode(const Measured& measured, const std::string& host) {
  std::vector<std::byte> data(sizeof measured + host.size());
  std::memcpy(data.data(), &measured, sizeof measured);
  std::memcpy(data.data() + sizeof measured, host.data(), host.size());
  return data;
}

}  // namespace

std::vector<LinkSpeed> measure_links(Transport& transport, Seconds budget) {
  const int own = transport.rank().value, size = transport.size();
  Measured measured;
  for (const int parity : {0, 1}) {  // links from even ranks, then from odd ones
    if (own % 2 == parity && own + 1 < size)
      measured = Sender(transport, Rank(own + 1)).measure(budget);
    else if (own % 2 != parity && own > 0)
      answer(transport, Rank(own - 1));
  }
  const auto all = transport.gather(encode(measured, transport.node().host), Rank(0));
  std::vector<LinkSpeed> links;
  const auto host = [&](std::size_t rank) {
    return std::string(reinterpret_cast<const char*>(all[rank].data()) + sizeof(Measured),
                       all[rank].size() - sizeof(Measured));
  };
  for (std::size_t rank = 0; rank + 1 < all.size(); ++rank) {
    std::memcpy(&measured, all[rank].data(), sizeof measured);
    links.push_back({Rank(static_cast<std::int64_t>(rank)), Rank(static_cast<std::int64_t>(rank + 1)),
                     host(rank), host(rank + 1), measured.latency_s, measured.bytes_per_s});
  }
  return links;
}

}  // namespace optpipe::comm
