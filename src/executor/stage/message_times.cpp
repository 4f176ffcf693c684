#include "executor/stage/message_times.hpp"

#include <algorithm>

#include "optpipe/base/check.hpp"

namespace optpipe::executor {

void settle_message_times(const schedule::Program& program, std::vector<schedule::StepTime>& times,
                          const model::StageSlice& slice, comm::Transport& transport) {
  if (transport.size() == 1) return;
  const auto tell = [&] {
    if (!slice.receives_hidden()) return;
    const auto seconds = schedule::receive_seconds(program, times);
    transport.send(comm::previous(transport), comm::Channel::control, std::as_bytes(std::span(seconds)));
  };
  const auto hear = [&] {
    if (!slice.sends_hidden()) return;
    std::vector<double> seconds(static_cast<std::size_t>(
        std::ranges::count(times, schedule::StepKind::send_hidden,
                           [&](const auto& time) { return program.step(time.step).kind; })));
    const auto bytes = std::as_writable_bytes(std::span(seconds));
    const auto size = transport.recv(comm::next(transport), comm::Channel::control, bytes);
    OPTPIPE_CHECK(size == bytes.size(), "{} bytes of times arrived for {} messages", size, seconds.size());
    schedule::find_waiting(program, times, seconds);
  };
  // In a ring somebody must begin with listening.
  if (transport.is_first()) {
    hear();
    tell();
  } else {
    tell();
    hear();
  }
}

}  // namespace optpipe::executor
