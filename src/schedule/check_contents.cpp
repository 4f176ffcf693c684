// Runs a program on labels instead of data: every buffer carries a label that says what it holds, every step
// demands the labels it needs and leaves new ones.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "schedule/faults.hpp"

namespace optpipe::schedule {
namespace {

// What a buffer holds. For weights: layer and the number of parts that have arrived. For hidden states: the
// layer that takes them next. For keys and values: the newest token step whose rows are there. What gathers
// all parts of a GPU batch (keys and values at home, tokens): how many are there, 0 once all are.
struct Label {
  std::int32_t token_step = -1, micro_batch = -1, gpu_batch = -1, layer = -1;
  std::int32_t parts = 0;
  std::int32_t part = 0;  // of a GPU batch
  bool attended = false;  // attention buffer and host rows: hold the output, no longer q
  bool on_host = false;   // attention buffer: some heads are with the CPU cores

  bool operator==(const Label&) const = default;
};

std::string to_string(const Label& label) {
  const auto number = [](const char* name, std::int32_t value) {
    return value > 0 ? fmt::format(" {}={}", name, value) : "";
  };
  return fmt::format("t={} m={} b={} l={}{}{}{}{}", label.token_step, label.micro_batch, label.gpu_batch,
                     label.layer, number("part", label.part), number("parts", label.parts),
                     label.attended ? " attended" : "", label.on_host ? " on_host" : "");
}

class ContentCheck {
 public:
  ContentCheck(const Program& program, Faults& faults)
      : program_(program), faults_(faults), labels_(program.buffers.size()) {
    for (const Step& step : program.steps) first_step_ = std::min(first_step_, step.token_step.value);
    // The first stage starts with every sequence running; the others hear of it with the hidden states.
    const bool first_stage =
        std::ranges::any_of(program.steps, [](const Step& s) { return s.kind == StepKind::embed; });
    for (std::size_t i = 0; i < labels_.size() && first_stage; ++i)
      if (program.buffers[i].kind == BufferKind::batch && program.buffers[i].index % 2 == first_step_ % 2)
        labels_[i].token_step = first_step_;
  }

  void run() {
    for (std::size_t i = 0; i < program_.steps.size() && !faults_.full(); ++i) {
      id_ = StepId(static_cast<std::int64_t>(i));
      step_ = &program_.steps[i];
      label_ = {step_->token_step.value, step_->micro_batch.value, step_->gpu_batch.value,
                step_->layer.value};
      if (step_->parts > 1) label_.part = step_->part;
      check_step();
    }
  }

 private:
  void check_step() {
    switch (step_->kind) {
      case StepKind::read_weights:
        return set(BufferKind::weight_stage, weights());
      case StepKind::load_weights:
        return load_weights();
      case StepKind::read_kv:
        return check_kv_read();
      case StepKind::load_kv:
        check_batch();
        demand(BufferKind::kv_host, before(label_));
        demand_if_used(BufferKind::kv_stage, before(label_));
        return set(BufferKind::kv_slot, before(label_));
      case StepKind::store_kv:
        check_batch();
        demand(BufferKind::kv_slot, label_);
        set_if_used(BufferKind::kv_write_stage, label_);
        gather_if_used(BufferKind::kv_cpu, label_);
        return gather(BufferKind::kv_host, label_);
      case StepKind::write_kv:
        check_batch();
        demand(BufferKind::kv_write_stage, label_);
        return gather(BufferKind::kv_disk, label_);
      case StepKind::read_hidden:
        demand(BufferKind::hidden_disk, label_);
        return set(BufferKind::hidden_stage, label_);
      case StepKind::load_hidden:
        demand(BufferKind::hidden_home, label_);
        demand_if_used(BufferKind::hidden_stage, label_);
        return set(BufferKind::hidden_work, label_);
      case StepKind::store_hidden:
        demand(BufferKind::hidden_work, after(label_));
        set_if_used(BufferKind::hidden_write_stage, after(label_));
        return set(BufferKind::hidden_home, after(label_));
      case StepKind::write_hidden:
        demand(BufferKind::hidden_write_stage, after(label_));
        return set(BufferKind::hidden_disk, after(label_));
      case StepKind::embed:
        return embed();
      case StepKind::project_qkv:
        return project();
      case StepKind::attend:
        return attend();
      case StepKind::fetch_qkv:
        check_batch();
        demand(BufferKind::attention, label_);
        set(BufferKind::attention, on_host(label_));
        return set(BufferKind::host_rows, label_);
      case StepKind::attend_host:
        check_batch();
        demand(BufferKind::host_rows, label_);
        demand(BufferKind::kv_cpu, before(label_));
        set(BufferKind::kv_cpu, label_);
        return set(BufferKind::host_rows, attended(label_));
      case StepKind::return_attention:
        check_batch();
        demand(BufferKind::host_rows, attended(label_));
        demand(BufferKind::attention, on_host(attended(label_)));
        return set(BufferKind::attention, attended(label_));
      case StepKind::feed_forward:
        check_batch();
        check_weights();
        demand(BufferKind::attention, attended(label_));
        demand(BufferKind::hidden_work, label_);
        return set(BufferKind::hidden_work, after(label_));
      case StepKind::sample:
        check_batch();
        check_weights();
        demand(BufferKind::hidden_work, label_);
        return gather(BufferKind::tokens, newest_tokens());
      case StepKind::accept:
        return accept();
      case StepKind::recv_hidden:
        if (program_.writes(*step_, BufferKind::batch))
          set(BufferKind::batch, rows());
        else
          check_batch();
        return set(BufferKind::hidden_work, label_);
      case StepKind::send_hidden:
        check_batch();
        return demand(BufferKind::hidden_work, after(label_));
      case StepKind::recv_tokens:
        return set(BufferKind::tokens, newest_tokens());
      case StepKind::send_tokens:
        return demand(BufferKind::tokens, newest_tokens());
    }
  }

  // ---- what labels should be
  Label weights() const { return {.layer = step_->layer.value}; }
  Label rows() const { return {.token_step = label_.token_step}; }
  Label newest_tokens() const { return {label_.token_step, label_.micro_batch, label_.gpu_batch, -1}; }
  // What gathers parts of a GPU batch, with the parts before the step's and with its own.
  Label with_parts(Label label, int count) const {
    label.part = 0;
    label.parts = count < step_->parts ? count : 0;
    return label;
  }
  Label with_own_part(const Label& label) const { return with_parts(label, step_->part + 1); }
  static Label before(Label label) { return --label.token_step, label; }
  static Label after(Label label) { return ++label.layer, label; }
  static Label attended(Label label) { return label.attended = true, label; }
  static Label on_host(Label label) { return label.on_host = true, label; }

  void load_weights() {
    demand_if_used(BufferKind::weight_stage, weights());
    Label* slot = find(BufferKind::weight_slot);
    if (slot == nullptr) return missing(BufferKind::weight_slot);
    if (step_->part == 0)
      *slot = weights();
    else if (slot->layer != step_->layer.value || slot->parts != step_->part)
      faults_.add(program_, id_, fmt::format("continues a slot that holds {}", to_string(*slot)));
    slot->parts = step_->part + 1;
  }
  void check_weights() {
    Label whole = weights();
    whole.parts = program_.weight_parts;
    demand_if_used(BufferKind::weight_slot, whole);
  }
  void check_batch() { demand(BufferKind::batch, rows()); }
  void check_kv_read() {
    check_batch();
    demand(BufferKind::kv_disk, before(label_));
    set(BufferKind::kv_stage, before(label_));
  }
  void project() {
    check_batch();
    check_weights();
    demand(BufferKind::hidden_work, label_);
    set(BufferKind::attention, label_);
    // The batches of a step with attention on the host append later, as they attend.
    if (find(BufferKind::kv_device) != nullptr || step_->token_step.value == 0) append();
  }
  // New rows join those of the steps before.
  void append() {
    if (step_->token_step.value > 0) {
      demand(BufferKind::kv_device, before(label_));
      demand_if_used(BufferKind::kv_slot, before(label_));
    }
    gather(BufferKind::kv_device, label_);
    set_if_used(BufferKind::kv_slot, label_);
  }
  void attend() {
    check_batch();
    check_weights();
    const bool apart = holds(BufferKind::attention, on_host(label_));
    if (apart) append();
    demand(BufferKind::kv_device, with_own_part(label_));
    demand_if_used(BufferKind::kv_slot, label_);
    demand(BufferKind::attention, apart ? on_host(label_) : label_);
    set(BufferKind::attention, apart ? on_host(attended(label_)) : attended(label_));
  }
  void embed() {
    check_batch();
    if (step_->token_step.value > 0) demand(BufferKind::tokens, newest_tokens_before());
    Label entering = label_;
    entering.layer = 0;  // the embedding feeds layer 0
    set(BufferKind::hidden_work, entering);
  }
  Label newest_tokens_before() const {
    Label label = newest_tokens();
    --label.token_step;
    return label;
  }
  // Reads this step's list of running sequences, writes the next one's: two buffers of one kind.
  void accept() {
    demand(BufferKind::tokens, newest_tokens());
    for (const Access& access : step_->accesses()) {
      if (program_.buffer(access.buffer).kind != BufferKind::batch) continue;
      Label& label = labels_[static_cast<std::size_t>(access.buffer.value)];
      if (access.write)
        label = {.token_step = label_.token_step + 1};
      else
        expect(access.buffer, label, rows());
    }
  }

  // ---- labels of the buffers that the step uses
  Label* find(BufferKind kind) {
    for (const Access& access : step_->accesses())
      if (program_.buffer(access.buffer).kind == kind)
        return &labels_[static_cast<std::size_t>(access.buffer.value)];
    return nullptr;
  }
  bool holds(BufferKind kind, const Label& wanted) {
    const Label* held = find(kind);
    return held != nullptr && *held == wanted;
  }
  void missing(BufferKind kind) { faults_.add(program_, id_, fmt::format("uses no {}", name_of(kind))); }
  // What a program that continues another finds of it: keys and values, and the newest tokens.
  bool is_left_by_another(BufferId buffer, const Label& held, const Label& wanted) const {
    constexpr std::array kinds{BufferKind::kv_device, BufferKind::kv_host, BufferKind::kv_disk,
                               BufferKind::kv_cpu, BufferKind::tokens};
    return held == Label{} && first_step_ > 0 && wanted.token_step == first_step_ - 1 &&
           std::ranges::find(kinds, program_.buffer(buffer).kind) != kinds.end();
  }
  void expect(BufferId buffer, const Label& held, const Label& wanted) {
    if (!(held == wanted) && !is_left_by_another(buffer, held, wanted))
      faults_.add(
          program_, id_,
          fmt::format("finds {} in {}[{}], needs {}", to_string(held), name_of(program_.buffer(buffer).kind),
                      program_.buffer(buffer).index, to_string(wanted)));
  }
  bool check(BufferKind kind, const Label& wanted) {
    for (const Access& access : step_->accesses()) {
      if (program_.buffer(access.buffer).kind != kind) continue;
      expect(access.buffer, labels_[static_cast<std::size_t>(access.buffer.value)], wanted);
      return true;
    }
    return false;
  }
  void demand(BufferKind kind, const Label& wanted) {
    if (!check(kind, wanted)) missing(kind);
  }
  void demand_if_used(BufferKind kind, const Label& wanted) { check(kind, wanted); }
  // The step's part joins those of its GPU batch that came before.
  void gather(BufferKind kind, const Label& label) {
    if (step_->parts > 1 && step_->part > 0) demand(kind, with_parts(label, step_->part));
    set(kind, with_own_part(label));
  }
  void gather_if_used(BufferKind kind, const Label& label) {
    if (find(kind) != nullptr) gather(kind, label);
  }
  bool put(BufferKind kind, const Label& label) {
    Label* held = find(kind);
    if (held != nullptr) *held = label;
    return held != nullptr;
  }
  void set(BufferKind kind, const Label& label) {
    if (!put(kind, label)) missing(kind);
  }
  void set_if_used(BufferKind kind, const Label& label) { put(kind, label); }

  const Program& program_;
  Faults& faults_;
  std::vector<Label> labels_;
  std::int32_t first_step_ = std::numeric_limits<std::int32_t>::max();
  StepId id_;
  const Step* step_ = nullptr;
  Label label_;  // of this step
};

}  // namespace

void check_contents(const Program& program, Faults& faults) { ContentCheck(program, faults).run(); }

}  // namespace optpipe::schedule
