// What every transport must do; each check is run by all ranks at once and throws where it fails.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "optpipe/comm/transport.hpp"

namespace optpipe::comm::conformance {

inline void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

inline std::vector<std::byte> pattern(std::size_t size, int seed) {
  std::vector<std::byte> data(size);
  for (std::size_t i = 0; i < size; ++i)
    data[i] = static_cast<std::byte>((i * 31 + static_cast<std::size_t>(seed) * 17) & 255);
  return data;
}

// Sizes around every boundary, in order, from each rank to the next.
inline void messages_keep_order_and_contents(Transport& t) {
  const Rank next((t.rank().value + 1) % t.size()), previous((t.rank().value + t.size() - 1) % t.size());
  const std::vector<std::size_t> sizes{0, 1, 7, 4096, 65537, 3 << 20};
  std::jthread sender([&] {
    for (const std::size_t size : sizes) t.send(next, Channel::hidden, pattern(size, t.rank().value));
  });
  for (const std::size_t size : sizes) {
    std::vector<std::byte> buffer(4 << 20, std::byte{0xee});
    require(t.recv(previous, Channel::hidden, buffer) == size, "a message has another size");
    buffer.resize(size);
    require(buffer == pattern(size, previous.value), "a message has other contents");
  }
}

// What is sent last on one channel can be received first.
inline void channels_are_independent(Transport& t) {
  const Rank next((t.rank().value + 1) % t.size()), previous((t.rank().value + t.size() - 1) % t.size());
  std::jthread a([&] { t.send(next, Channel::hidden, pattern(1 << 20, 1)); });
  std::jthread b([&] { t.send(next, Channel::tokens, pattern(12, 2)); });
  std::vector<std::byte> tokens(12), hidden(1 << 20);
  t.recv(previous, Channel::tokens, tokens);
  t.recv(previous, Channel::hidden, hidden);
  require(tokens == pattern(12, 2) && hidden == pattern(1 << 20, 1), "channels got mixed up");
}

inline void collectives_reach_everyone(Transport& t) {
  for (int root = 0; root < t.size(); ++root) {
    const auto data =
        t.broadcast(t.rank().value == root ? pattern(1000, root) : std::vector<std::byte>{}, Rank(root));
    require(data == pattern(1000, root), "broadcast differs");
    const auto all =
        t.gather(pattern(static_cast<std::size_t>(t.rank().value) * 10, t.rank().value), Rank(root));
    require(all.size() == (t.rank().value == root ? static_cast<std::size_t>(t.size()) : 0),
            "gather went astray");
    for (std::size_t rank = 0; rank < all.size(); ++rank)
      require(all[rank] == pattern(rank * 10, static_cast<int>(rank)), "gather differs");
  }
  t.barrier();
}

inline void ranks_know_their_node(Transport& t) {
  const Node node = t.node();
  require(!node.host.empty() && node.local_size == t.size() && node.local_rank == t.rank().value,
          "node is wrong");
}

struct Check {
  const char* name;
  void (*run)(Transport&);
};
inline const std::vector<Check> kChecks{
    {"messages keep order and contents", messages_keep_order_and_contents},
    {"channels are independent", channels_are_independent},
    {"collectives reach everyone", collectives_reach_everyone},
    {"ranks know their node", ranks_know_their_node}};

}  // namespace optpipe::comm::conformance
