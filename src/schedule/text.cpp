#include "optpipe/schedule/text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "optpipe/base/error.hpp"

namespace optpipe::schedule {
namespace {

std::string field(const char* name, std::int32_t value) {
  return value < 0 ? "" : fmt::format(" {}={}", name, value);
}

std::string list(const char* name, const std::vector<std::int32_t>& values) {
  return values.empty() ? "" : fmt::format(" {}={}", name, fmt::join(values, ","));
}

std::vector<std::int32_t> buffers_of(const Step& step, bool write) {
  std::vector<std::int32_t> ids;
  for (const Access& access : step.accesses())
    if (access.write == write) ids.push_back(access.buffer.value);
  return ids;
}

std::vector<std::int32_t> waits_of(const Step& step) {
  std::vector<std::int32_t> ids;
  for (const StepId id : step.after)
    if (id.valid()) ids.push_back(id.value);
  std::ranges::sort(ids);
  return ids;
}

std::string step_line(const Step& step, std::size_t id) {
  std::string line = fmt::format("step {} {}", id, name_of(step.kind));
  line += field("t", step.token_step.value) + field("m", step.micro_batch.value) +
          field("l", step.layer.value) + field("b", step.gpu_batch.value);
  if (step.kind == StepKind::load_weights || step.parts > 1) line += field("part", step.part);
  if (step.parts > 1) line += field("parts", step.parts);
  return line + list("reads", buffers_of(step, false)) + list("writes", buffers_of(step, true)) +
         list("after", waits_of(step));
}

// One line of the text, cut at spaces.
class Line {
 public:
  Line(std::string text, std::size_t number) : number_(number) {
    std::istringstream stream(std::move(text));
    for (std::string word; stream >> word;) words_.push_back(word);
  }
  bool empty() const { return words_.empty(); }
  const std::string& word(std::size_t index) const {
    if (index >= words_.size()) fail("a word is missing");
    return words_[index];
  }
  std::int64_t number(std::string_view text) const {
    std::int64_t value = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (status != std::errc{} || end != text.data() + text.size() || value < 0)
      fail(fmt::format("'{}' is no number", text));
    return value;
  }
  std::string_view value(std::string_view name) const {
    for (const std::string& word : words_)
      if (word.size() > name.size() && word.starts_with(name) && word[name.size()] == '=')
        return std::string_view(word).substr(name.size() + 1);
    return {};
  }
  std::int64_t number_of(std::string_view name, std::int64_t fallback) const {
    const auto text = value(name);
    return text.empty() ? fallback : number(text);
  }
  std::vector<std::int64_t> numbers_of(std::string_view name) const {
    std::vector<std::int64_t> values;
    std::string_view rest = value(name);
    while (!rest.empty()) {
      const auto comma = std::min(rest.find(','), rest.size());
      values.push_back(number(rest.substr(0, comma)));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return values;
  }
  [[noreturn]] void fail(const std::string& why) const {
    throw InputError(fmt::format("program text, line {}: {}", number_, why));
  }

 private:
  std::vector<std::string> words_;
  std::size_t number_;
};

template <class Enum>
std::optional<Enum> find_name(std::string_view name, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    if (name == name_of(static_cast<Enum>(i))) return static_cast<Enum>(i);
  return std::nullopt;
}

memory::Tier parse_tier(const Line& line, std::string_view name) {
  for (const auto tier : memory::kTiers)
    if (name == memory::name_of(tier)) return tier;
  line.fail(fmt::format("'{}' is no tier", name));
}

Buffer parse_buffer(const Line& line) {
  const std::string& name = line.word(2);
  const auto bracket = name.find('[');
  const auto kind = find_name<BufferKind>(std::string_view(name).substr(0, bracket), kBufferKinds);
  if (!kind || bracket == std::string::npos || name.back() != ']')
    line.fail(fmt::format("'{}' is no buffer", name));
  const auto index = line.number(std::string_view(name).substr(bracket + 1, name.size() - bracket - 2));
  return {*kind, static_cast<std::int32_t>(index), parse_tier(line, line.word(3)),
          static_cast<Bytes>(line.number(line.word(4)))};
}

Step parse_step(const Line& line, const Program& program) {
  const auto kind = find_name<StepKind>(line.word(2), kStepKinds);
  if (!kind) line.fail(fmt::format("'{}' is no step", line.word(2)));
  Step step;
  step.kind = *kind;
  step.queue = queue_of(*kind);
  step.token_step = TokenStep(line.number_of("t", -1));
  step.micro_batch = MicroBatchId(line.number_of("m", -1));
  step.layer = LayerId(line.number_of("l", -1));
  step.gpu_batch = GpuBatchId(line.number_of("b", -1));
  step.part = static_cast<std::int16_t>(line.number_of("part", 0));
  step.parts = static_cast<std::int16_t>(line.number_of("parts", 1));
  for (const bool write : {false, true}) {
    for (const auto id : line.numbers_of(write ? "writes" : "reads")) {
      if (static_cast<std::size_t>(id) >= program.buffers.size())
        line.fail(fmt::format("there is no buffer {}", id));
      if (step.access_count == Step::kMaxAccesses) line.fail("a step uses at most 8 buffers");
      step.access_list[step.access_count++] = {BufferId(id), write};
    }
  }
  for (const auto id : line.numbers_of("after")) {
    if (static_cast<std::size_t>(id) >= program.steps.size())
      line.fail(fmt::format("step {} does not come earlier", id));
    auto& entry = step.after[static_cast<std::size_t>(program.steps[static_cast<std::size_t>(id)].queue)];
    entry = std::max(entry, StepId(id));
  }
  return step;
}

}  // namespace

std::string to_text(const Program& program) {
  std::string text = fmt::format("program rank={} ranks={} weight_parts={}\n", program.rank.value,
                                 program.ranks, program.weight_parts);
  for (std::size_t i = 0; i < program.buffers.size(); ++i) {
    const Buffer& buffer = program.buffers[i];
    text += fmt::format("buffer {} {}[{}] {} {}\n", i, name_of(buffer.kind), buffer.index,
                        name_of(buffer.tier), buffer.bytes);
  }
  for (std::size_t i = 0; i < program.steps.size(); ++i) text += step_line(program.steps[i], i) + "\n";
  return text;
}

std::string to_text(const Program& program, StepId step) {
  return step_line(program.step(step), static_cast<std::size_t>(step.value));
}

Program parse_program(std::string_view text) {
  Program program;
  std::istringstream stream{std::string(text)};
  std::size_t number = 0;
  for (std::string row; std::getline(stream, row);) {
    const Line line(row, ++number);
    if (line.empty()) continue;
    const std::string& what = line.word(0);
    if (what == "program") {
      program.rank = Rank(line.number_of("rank", 0));
      program.ranks = static_cast<int>(line.number_of("ranks", 1));
      program.weight_parts = static_cast<std::int32_t>(line.number_of("weight_parts", 1));
    } else if (what == "buffer") {
      program.buffers.push_back(parse_buffer(line));
    } else if (what == "step") {
      program.steps.push_back(parse_step(line, program));
    } else {
      line.fail(fmt::format("'{}' is neither program, buffer nor step", what));
    }
  }
  return program;
}

}  // namespace optpipe::schedule
