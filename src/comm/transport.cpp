#include "optpipe/comm/transport.hpp"

#include <unistd.h>

#include <array>
#include <cstring>

#include "optpipe/base/check.hpp"

namespace optpipe::comm {

void Transport::send_sized(Rank to, std::span<const std::byte> data) {
  const std::uint64_t size = data.size();
  send(to, Channel::control, std::as_bytes(std::span(&size, 1)));
  if (size > 0) send(to, Channel::control, data);
}

std::vector<std::byte> Transport::recv_sized(Rank from) {
  std::uint64_t size = 0;
  recv(from, Channel::control, std::as_writable_bytes(std::span(&size, 1)));
  std::vector<std::byte> data(size);
  if (size > 0) recv(from, Channel::control, data);
  return data;
}

std::vector<std::byte> Transport::broadcast(std::vector<std::byte> data, Rank root) {
  if (rank() != root) return recv_sized(root);
  for (int peer = 0; peer < size(); ++peer)
    if (Rank(peer) != root) send_sized(Rank(peer), data);
  return data;
}

std::vector<std::vector<std::byte>> Transport::gather(std::vector<std::byte> data, Rank root) {
  if (rank() != root) {
    send_sized(root, data);
    return {};
  }
  std::vector<std::vector<std::byte>> all;
  for (int peer = 0; peer < size(); ++peer)
    all.push_back(Rank(peer) == root ? std::move(data) : recv_sized(Rank(peer)));
  return all;
}

void Transport::barrier() {
  gather({}, Rank(0));
  broadcast({}, Rank(0));
}

Node Alone::node() const {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) std::strcpy(name.data(), "localhost");
  return {name.data(), 0, 1};
}

void Alone::send(Rank to, Channel, std::span<const std::byte>) {
  OPTPIPE_CHECK(false, "a single rank sends to rank {}", to.value);
}

std::size_t Alone::recv(Rank from, Channel, std::span<std::byte>) {
  OPTPIPE_CHECK(false, "a single rank receives from rank {}", from.value);
  return 0;
}

void Alone::abort(ExitStatus, const std::string&) noexcept {}

}  // namespace optpipe::comm
