#include "optpipe/schedule/validate.hpp"

#include <fmt/format.h>

#include "optpipe/schedule/text.hpp"
#include "schedule/faults.hpp"

namespace optpipe::schedule {

void Faults::add(const Program& program, StepId step, const std::string& what) {
  add(fmt::format("rank {}: {}: {}", program.rank.value, to_text(program, step), what));
}

void Faults::add(const std::string& what) {
  if (!full()) lines_.push_back(what);
}

std::vector<std::string> find_faults(const Program& program, std::size_t most) {
  Faults faults(most);
  check_order(program, faults);
  check_contents(program, faults);
  return std::move(faults).take();
}

std::vector<std::string> find_faults(std::span<const Program> programs, std::size_t most) {
  Faults faults(most);
  for (const Program& program : programs) {
    check_order(program, faults);
    check_contents(program, faults);
  }
  check_messages(programs, faults);
  check_progress(programs, faults);
  return std::move(faults).take();
}

std::array<Bytes, 3> buffer_bytes(const Program& program) {
  std::array<Bytes, 3> bytes{};
  for (const Buffer& buffer : program.buffers) bytes[static_cast<std::size_t>(buffer.tier)] += buffer.bytes;
  return bytes;
}

}  // namespace optpipe::schedule
