#include "optpipe/comm/clock.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

namespace optpipe::comm {
namespace {

constexpr int kQuestions = 20;

}  // namespace

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

ClockOffset measure_clock(Transport& transport, const ClockReading& now) {
  double time = 0;
  const auto message = std::as_writable_bytes(std::span(&time, 1));
  if (transport.is_first()) {
    for (int peer = 1; peer < transport.size(); ++peer) {
      for (int i = 0; i < kQuestions; ++i) {
        transport.recv(Rank(peer), Channel::control, message);
        time = now();
        transport.send(Rank(peer), Channel::control, message);
      }
    }
    return {now(), 0, 0};
  }
  ClockOffset best{0, 0, std::numeric_limits<double>::infinity()};
  for (int i = 0; i < kQuestions; ++i) {
    const double asked = now();
    transport.send(Rank(0), Channel::control, message);
    transport.recv(Rank(0), Channel::control, message);
    const double answered = now(), middle = (asked + answered) / 2, error = (answered - asked) / 2;
    if (error < best.error_s) best = {middle, time - middle, error};
  }
  return best;
}

double to_first_rank(double own_s, const ClockOffset& begin, const ClockOffset& end) {
  const double span = end.at_s - begin.at_s;
  const double share = span > 0 ? std::clamp((own_s - begin.at_s) / span, 0.0, 1.0) : 0;
  return own_s + begin.offset_s + share * (end.offset_s - begin.offset_s);
}

}  // namespace optpipe::comm
