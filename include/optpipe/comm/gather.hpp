// One value a rank, on rank 0.
#pragma once

#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "optpipe/base/check.hpp"
#include "optpipe/comm/transport.hpp"

namespace optpipe::comm {

// Collective; every rank's value, in the order of ranks, on rank 0; elsewhere nothing. All ranks run the same
// program on machines of one kind, so a value travels as its bytes.
template <class T>
std::vector<T> gather_values(Transport& transport, const T& own) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto bytes = std::as_bytes(std::span(&own, 1));
  std::vector<T> values;
  for (const auto& each : transport.gather({bytes.begin(), bytes.end()}, Rank(0))) {
    OPTPIPE_CHECK(each.size() == sizeof(T), "{} bytes arrived for a value of {}", each.size(), sizeof(T));
    std::memcpy(&values.emplace_back(), each.data(), sizeof(T));
  }
  return values;
}

}  // namespace optpipe::comm
