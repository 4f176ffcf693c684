// How stages talk: messages of bytes between ranks, in order on each channel.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "optpipe/base/error.hpp"
#include "optpipe/base/ids.hpp"

namespace optpipe::comm {

// Messages between two ranks on one channel keep their order; channels are independent.
enum class Channel : std::uint8_t {
  hidden,   // hidden states, to the next stage
  batch,    // which sequences still run, to the next stage
  tokens,   // new token ids, from the last stage to the first
  control,  // set-up and reports
};

struct Node {
  std::string host;
  int local_rank = 0;  // among the ranks on this host
  int local_size = 1;
};

// One rank's end of the connections between all ranks. Every call may come from any thread, but at most one
// thread sends to, and one receives from, a given (rank, channel) at a time. Every wait ends: with PeerError
// after the timeout, or as soon as it is known that a peer has failed.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual Rank rank() const = 0;
  virtual int size() const = 0;
  virtual Node node() const = 0;
  virtual std::string describe() const = 0;  // "Open MPI 4.1.4", "in-process"

  // Returns when `data` may be reused.
  virtual void send(Rank to, Channel channel, std::span<const std::byte> data) = 0;
  // Waits for the next message and returns its size, at most buffer.size(); a longer one is a PeerError.
  virtual std::size_t recv(Rank from, Channel channel, std::span<std::byte> buffer) = 0;

  // Ends all ranks, as soon as may be, with `status`. Does not return where ranks are processes.
  virtual void abort(ExitStatus status, const std::string& why) noexcept = 0;

  // Collectives, called by every rank in the same order.
  std::vector<std::byte> broadcast(std::vector<std::byte> data, Rank root);  // data of `root`, on every rank
  std::vector<std::vector<std::byte>> gather(std::vector<std::byte> data,
                                             Rank root);  // one a rank on `root`, else empty
  void barrier();

  bool is_first() const { return rank().value == 0; }

 private:
  void send_sized(Rank to, std::span<const std::byte> data);
  std::vector<std::byte> recv_sized(Rank from);
};

// The neighbours in a ring of all ranks: of the last rank the first is next.
inline Rank next(const Transport& transport) { return Rank((transport.rank().value + 1) % transport.size()); }
inline Rank previous(const Transport& transport) {
  return Rank((transport.rank().value + transport.size() - 1) % transport.size());
}

// A pipeline of one rank: nobody to talk to.
class Alone final : public Transport {
 public:
  Rank rank() const override { return Rank(0); }
  int size() const override { return 1; }
  Node node() const override;
  std::string describe() const override { return "none (one rank)"; }
  void send(Rank to, Channel channel, std::span<const std::byte> data) override;
  std::size_t recv(Rank from, Channel channel, std::span<std::byte> buffer) override;
  void abort(ExitStatus status, const std::string& why) noexcept override;
};

using Seconds = std::chrono::duration<double>;

}  // namespace optpipe::comm
