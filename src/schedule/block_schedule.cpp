// The block schedule: a stage's visits in their order, and in each one GPU batch after another, so that a
// loaded layer serves all of them.

#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include "optpipe/base/check.hpp"
#include "optpipe/schedule/builder.hpp"
#include "schedule/dependencies.hpp"
#include "schedule/under_way.hpp"
#include "schedule/visits.hpp"
#include "schedule/weight_ring.hpp"

namespace optpipe::schedule {
namespace {

using memory::Tier;

// Micro-batches beyond one a rank come back to the first of looped stages while it still computes others of
// the run before. Where hidden states are offloaded, few are on the device at once: then they go to homes of
// their own until it is their turn, or all ranks would wait for each other. Later stages hear of a run only
// when the stage before is through with the last one.
bool parks(const StageParameters& p) {
  return p.slice.run_count() > 1 && p.slice.embedding && p.hidden.any && p.micro_batches > p.ranks;
}

class BlockScheduleBuilder {
 public:
  explicit BlockScheduleBuilder(const StageParameters& parameters)
      : p_(parameters),
        visits_(list_visits(parameters)),
        weights_(visits_, parameters.weight_slots, weight_lag(parameters)) {
    program_.rank = p_.rank;
    program_.ranks = p_.ranks;
    program_.weight_parts = static_cast<std::int32_t>(p_.gpu_batches * (is_looped() ? p_.micro_batches : 1));
    work_of_.assign(static_cast<std::size_t>(p_.gpu_batches), -1);
  }

  Program build() && {
    for (std::size_t v = 0; v < visits_.size(); ++v) {
      emit_visit(v);
      if (ends_run(v)) emit_arrivals(v);
    }
    finish_all();
    if (p_.slice.embedding) {
      for (std::int64_t m = 0; m < p_.micro_batches; ++m)
        for (std::int64_t k = 0; k < p_.gpu_batches; ++k) {
          emit_recv_tokens({TokenStep(end_step() - 1), MicroBatchId(m), {}}, GpuBatchId(k));
          emit_accept({TokenStep(end_step() - 1), MicroBatchId(m), {}}, GpuBatchId(k));
        }
    }
    DependencyTracker tracker(program_.buffers.size());
    for (std::size_t i = 0; i < program_.steps.size(); ++i)
      tracker.order(program_.steps[i], StepId(static_cast<std::int64_t>(i)));
    return std::move(program_);
  }

 private:
  bool keeps_tokens() const { return p_.slice.embedding && p_.slice.head; }
  bool keeps_hidden() const { return !p_.hidden.any; }
  std::int64_t end_step() const { return p_.first_token_step + p_.token_steps; }
  bool is_looped() const { return p_.slice.run_count() > 1; }
  bool ends_run(std::size_t v) const {
    return v + 1 == visits_.size() || visits_[v + 1].micro_batch != visits_[v].micro_batch ||
           visits_[v + 1].run != visits_[v].run || visits_[v + 1].token_step != visits_[v].token_step;
  }

  // ---- buffers, made when first named
  BufferId buffer(BufferKind kind, std::int64_t index, Tier tier, Bytes bytes) {
    const auto [entry, is_new] =
        ids_.try_emplace({kind, index}, BufferId(static_cast<std::int64_t>(program_.buffers.size())));
    if (is_new) program_.buffers.push_back({kind, static_cast<std::int32_t>(index), tier, bytes});
    return entry->second;
  }
  BufferId weight_slot(std::int32_t slot) {
    return buffer(BufferKind::weight_slot, slot, Tier::device, p_.sizes.weight_slot);
  }
  BufferId hidden_work(GpuBatchId k) {
    return buffer(BufferKind::hidden_work, work_of_[index(k)], Tier::device, p_.sizes.hidden_work);
  }
  std::int64_t home_of(MicroBatchId m, GpuBatchId k) const { return parks(p_) ? batch_index(m, k) : k.value; }
  BufferId hidden_home(MicroBatchId m, GpuBatchId k) {
    return buffer(BufferKind::hidden_home, home_of(m, k), Tier::host,
                  p_.sizes.hidden_home[0] + p_.sizes.hidden_home[1]);
  }
  BufferId hidden_disk(MicroBatchId m, GpuBatchId k) {
    return buffer(BufferKind::hidden_disk, home_of(m, k), Tier::disk, p_.sizes.hidden_home[2]);
  }
  BufferId stage(BufferKind kind, std::int32_t slot, Bytes bytes) {
    return buffer(kind, slot, Tier::host, bytes);
  }
  BufferId attention() { return buffer(BufferKind::attention, 0, Tier::device, p_.sizes.attention); }
  BufferId attention(const UnderWay& pass) {
    return buffer(BufferKind::attention, 1 + pass.slot, Tier::device, p_.sizes.attention_decode);
  }
  BufferId host_rows(const UnderWay& pass) {
    return buffer(BufferKind::host_rows, pass.slot, Tier::host, p_.sizes.host_rows);
  }
  BufferId batch(TokenStep t, MicroBatchId m, GpuBatchId k) {
    return buffer(BufferKind::batch, batch_index(m, k) * 2 + t.value % 2, Tier::host, 0);
  }
  BufferId tokens(MicroBatchId m, GpuBatchId k) {
    return buffer(BufferKind::tokens, batch_index(m, k), Tier::host, 0);
  }
  BufferId kv_block(const Visit& visit, GpuBatchId k, Tier tier) {
    constexpr std::array kinds{BufferKind::kv_device, BufferKind::kv_host, BufferKind::kv_disk};
    const std::int64_t layer = layer_in_slice(visit);
    auto bytes = p_.sizes.kv_block ? p_.sizes.kv_block(visit.micro_batch, k, layer) : std::array<Bytes, 3>{};
    bytes[static_cast<std::size_t>(Tier::host)] -= cpu_bytes(visit, k);
    return buffer(kinds[static_cast<std::size_t>(tier)], block_index(visit, k), tier,
                  bytes[static_cast<std::size_t>(tier)]);
  }
  BufferId kv_cpu(const Visit& visit, GpuBatchId k) {
    return buffer(BufferKind::kv_cpu, block_index(visit, k), Tier::host, cpu_bytes(visit, k));
  }
  Bytes cpu_bytes(const Visit& visit, GpuBatchId k) const {
    return p_.sizes.kv_cpu ? p_.sizes.kv_cpu(visit.micro_batch, k, layer_in_slice(visit)) : 0;
  }
  std::int64_t layer_in_slice(const Visit& visit) const { return p_.slice.index_of(visit.layer); }
  std::int64_t block_index(const Visit& visit, GpuBatchId k) const {
    return batch_index(visit.micro_batch, k) * p_.slice.layers + layer_in_slice(visit);
  }
  BufferId kv_slot(std::int32_t slot) {
    return buffer(BufferKind::kv_slot, slot, Tier::device, p_.sizes.kv_slot);
  }
  BufferId kv_slot() { return kv_slot(kv_ring_.newest()); }

  static std::size_t index(GpuBatchId k) { return static_cast<std::size_t>(k.value); }
  std::int64_t batch_index(MicroBatchId m, GpuBatchId k) const { return m.value * p_.gpu_batches + k.value; }

  // ---- steps
  struct Uses {
    std::vector<BufferId> reads, writes;
  };
  void emit(StepKind kind, const Visit& visit, LayerId layer, GpuBatchId k, const Uses& uses, int part = 0) {
    Step step;
    step.kind = kind;
    step.queue = queue_of(kind);
    step.part = static_cast<std::int16_t>(part);
    step.token_step = visit.token_step;
    step.micro_batch = visit.micro_batch;
    step.layer = layer;
    step.gpu_batch = k;
    OPTPIPE_CHECK(uses.reads.size() + uses.writes.size() <= Step::kMaxAccesses,
                  "step {} uses too many buffers", name_of(kind));
    for (const BufferId id : uses.reads) step.access_list[step.access_count++] = {id, false};
    for (const BufferId id : uses.writes) step.access_list[step.access_count++] = {id, true};
    program_.steps.push_back(step);
  }

  void emit_visit(std::size_t v) {
    const Visit& visit = visits_[v];
    if (load_ && load_->visit == v) emit_weight_parts(program_.weight_parts);
    for (const WeightLoad& load : weights_.issued_during(v)) {
      if (load_) emit_weight_parts(program_.weight_parts);  // one load at a time, in order
      load_ = load;
      emitted_parts_ = 0;
      emit_weight_read();
      if (load.visit == v) emit_weight_parts(program_.weight_parts);
    }
    for (std::int64_t b = 0; b < p_.gpu_batches; ++b) {
      const GpuBatchId k(b);
      // Behind what this batch loads for itself, which is needed sooner than the weights of a later layer.
      const auto emit_due_parts = [&] {
        if (load_) emit_weight_parts(parts_due(v, b));
      };
      if (visit.head)
        emit_head(visit, v, k, emit_due_parts);
      else
        emit_layer(visit, v, k, emit_due_parts);
    }
    // What goes to another stage goes now: that stage, or the next token, may depend on it.
    if ((leaves(visit) && !passes_may_outlast(visit)) || (moves_weights() && p_.weight_slots < 2))
      finish_all();
  }

  // Parts of the load under way that should be issued by batch `b` of visit `v`.
  int parts_due(std::size_t v, std::int64_t b) const {
    const auto batches = static_cast<std::int64_t>(load_->until - load_->from) * p_.gpu_batches;
    const auto passed = static_cast<std::int64_t>(v - load_->from) * p_.gpu_batches + b + 1;
    return static_cast<int>(program_.weight_parts * std::min(passed, batches) / batches);
  }

  bool is_on_disk(const Visit& target) const {
    return (target.head ? p_.head_weights : p_.layer_weights).disk;
  }
  BufferId weight_stage() {
    return stage(BufferKind::weight_stage, weight_stages_.newest(), p_.sizes.weight_stage);
  }

  void emit_weight_read() {
    const Visit& target = visits_[load_->visit];
    if (!is_on_disk(target)) return;
    weight_stages_.next();
    emit(StepKind::read_weights, target, target.layer, {}, {{}, {weight_stage()}});
  }

  // Of the load under way: up to part `end`.
  void emit_weight_parts(int end) {
    const Visit& target = visits_[load_->visit];
    for (; emitted_parts_ < end; ++emitted_parts_) {
      Uses uses{{}, {weight_slot(load_->slot)}};
      if (is_on_disk(target)) uses.reads = {weight_stage()};
      emit(StepKind::load_weights, target, target.layer, {}, uses, emitted_parts_);
    }
    if (emitted_parts_ == program_.weight_parts) load_.reset();
  }

  std::vector<BufferId> with_weights(std::size_t v, std::vector<BufferId> reads) {
    if (weights_.slot_of(v) >= 0) reads.push_back(weight_slot(weights_.slot_of(v)));
    return reads;
  }

  template <class EmitLoads>
  void emit_layer(const Visit& visit, std::size_t v, GpuBatchId k, EmitLoads emit_more_loads) {
    if (p_.host_attention.any && visit.token_step.value > 0) return begin_pass(visit, v, k, emit_more_loads);
    emit_entry(visit, k);
    if (p_.kv.any) emit_load_kv(visit, k);
    emit_more_loads();
    const BufferId rows = batch(visit.token_step, visit.micro_batch, k);

    Uses project{with_weights(v, {rows, hidden_work(k)}), {attention(), kv_block(visit, k, Tier::device)}};
    if (p_.kv.any) project.writes.push_back(kv_slot());
    emit(StepKind::project_qkv, visit, visit.layer, k, project);

    Uses attend{{rows, kv_block(visit, k, Tier::device)}, {attention()}};
    if (p_.kv.any) attend.reads.push_back(kv_slot());
    emit(StepKind::attend, visit, visit.layer, k, attend);

    emit(StepKind::feed_forward, visit, visit.layer, k,
         {with_weights(v, {rows, attention()}), {hidden_work(k)}});
    if (p_.kv.any) emit_store_kv(visit, k, kv_slot());
    emit_exit(visit, k);
  }

  // Hidden states of the layer go to another stage.
  bool leaves(const Visit& visit) const {
    return visit.last && !(p_.slice.head && visit.layer.value + 1 == p_.slice.end().value);
  }
  // With a micro-batch more than ranks, what a looped stage holds back until its next visit holds up nobody,
  // but for the end of a token step, on which the next one waits.
  bool passes_may_outlast(const Visit& visit) const {
    return keeps_hidden() && p_.micro_batches > p_.ranks && visit.run + 1 < p_.slice.run_count();
  }

  // Hidden states come to the layer, and go on from it.
  void emit_entry(const Visit& visit, GpuBatchId k) {
    if (visit.first)
      emit_input(visit, k);
    else if (!keeps_hidden())
      emit_load_hidden(visit, k);
  }
  void emit_exit(const Visit& visit, GpuBatchId k) {
    const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
    if (leaves(visit)) {
      emit(StepKind::send_hidden, visit, visit.layer, k, {{rows, hidden_work(k)}, {}});
    } else if (!keeps_hidden()) {
      emit_store_hidden(visit, k);
    }
  }

  // ---- decode with attention on the host: a batch's pass through a layer begins with the projection, and
  // ends, behind the beginnings of other batches' passes, once the CPU cores are done.
  template <class EmitLoads>
  void begin_pass(const Visit& visit, std::size_t v, GpuBatchId k, EmitLoads emit_more_loads) {
    const auto most =
        static_cast<std::size_t>(std::clamp<std::int64_t>(p_.host_attention.in_flight, 1, p_.gpu_batches));
    while (under_way_.size() >= most) finish_pass();
    finish_batch(k);
    emit_entry(visit, k);
    UnderWay pass{v, k, host_ring_.next(), -1};
    if (streams_kv()) {
      emit_load_kv(visit, k);
      pass.kv_slot = kv_ring_.newest();
    }
    emit_more_loads();
    const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
    emit(StepKind::project_qkv, visit, visit.layer, k,
         {with_weights(v, {rows, hidden_work(k)}), {attention(pass)}});
    emit(StepKind::fetch_qkv, visit, visit.layer, k, {{rows, attention(pass)}, {host_rows(pass)}});
    emit(StepKind::attend_host, visit, visit.layer, k, {{rows}, {host_rows(pass), kv_cpu(visit, k)}});
    under_way_.push_back(pass);
  }

  // Of the pass that has been under way for longest.
  void finish_pass() {
    const UnderWay pass = under_way_.front();
    under_way_.pop_front();
    const Visit& visit = visits_[pass.visit];
    const GpuBatchId k = pass.gpu_batch;
    const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
    Uses attend{{rows}, {attention(pass), kv_block(visit, k, Tier::device)}};
    if (streams_kv()) attend.writes.push_back(kv_slot(pass.kv_slot));
    emit(StepKind::attend, visit, visit.layer, k, attend);
    emit(StepKind::return_attention, visit, visit.layer, k, {{rows, host_rows(pass)}, {attention(pass)}});
    emit(StepKind::feed_forward, visit, visit.layer, k,
         {with_weights(pass.visit, {rows, attention(pass)}), {hidden_work(k)}});
    if (streams_kv()) emit_store_kv(visit, k, kv_slot(pass.kv_slot));
    emit_exit(visit, k);
  }
  void finish_batch(GpuBatchId k) {
    while (std::ranges::find(under_way_, k, &UnderWay::gpu_batch) != under_way_.end()) finish_pass();
  }
  void finish_all() {
    while (!under_way_.empty()) finish_pass();
  }
  bool moves_weights() const { return p_.layer_weights.any || p_.head_weights.any; }
  bool streams_kv() const { return p_.kv.any && p_.host_attention.kv_streams; }

  // The work buffer for the hidden states that enter the stage now.
  void claim_work(GpuBatchId k) {
    if (!keeps_hidden()) {
      work_of_[index(k)] = hidden_ring_.next();
      return;
    }
    if (k.value == 0) turn_ = (turn_ + 1) % (hidden_work_buffers(p_) / p_.gpu_batches);
    work_of_[index(k)] = static_cast<std::int32_t>(turn_ * p_.gpu_batches + k.value);
  }

  void emit_input(const Visit& visit, GpuBatchId k) {
    if (!enters_model(visit)) return parks(p_) ? emit_load_hidden(visit, k) : emit_receive(visit, k);
    const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
    if (visit.token_step.value > p_.first_token_step) {
      if (!parks(p_)) emit_recv_tokens(before(visit), k);
      emit_accept(before(visit), k);
    }
    claim_work(k);
    emit(StepKind::embed, visit, {}, k, {{rows, tokens(visit.micro_batch, k)}, {hidden_work(k)}});
  }

  bool enters_model(const Visit& visit) const { return visit.run == 0 && p_.slice.embedding; }

  // Which sequences run is news in the stage's first run only.
  void emit_receive(const Visit& visit, GpuBatchId k) {
    claim_work(k);
    const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
    if (visit.run == 0)
      emit(StepKind::recv_hidden, visit, visit.layer, k, {{}, {hidden_work(k), rows}});
    else
      emit(StepKind::recv_hidden, visit, visit.layer, k, {{rows}, {hidden_work(k)}});
  }

  // Behind the visits of a micro-batch to a run: the arrival of the one that is by then through the last
  // rank.
  void emit_arrivals(std::size_t v) {
    if (!parks(p_)) return;
    const Visit& visit = visits_[v];
    const std::int64_t ahead = visit.micro_batch.value + p_.micro_batches - p_.ranks;
    const std::int64_t stay = visit.stay + ahead / p_.micro_batches;
    const MicroBatchId arriving(ahead % p_.micro_batches);
    for (std::size_t n = v; n < visits_.size() && visits_[n].stay <= stay; ++n) {
      const Visit& next = visits_[n];
      if (next.stay == stay && next.first && next.micro_batch == arriving) return emit_arrival(next);
    }
  }

  void emit_arrival(Visit visit) {
    for (std::int64_t b = 0; b < p_.gpu_batches; ++b) {
      const GpuBatchId k(b);
      if (enters_model(visit)) {  // tokens come in turn, between hidden states
        if (visit.token_step.value > p_.first_token_step) emit_recv_tokens(before(visit), k);
        continue;
      }
      emit_receive(visit, k);
      Visit source = visit;
      source.layer = LayerId(visit.layer.value - 1);  // that they come from
      emit_store_hidden(source, k);
    }
  }

  // The token step before, of which the tokens enter the model now.
  static Visit before(Visit visit) { return --visit.token_step.value, visit; }

  void emit_recv_tokens(const Visit& visit, GpuBatchId k) {
    if (!keeps_tokens()) emit(StepKind::recv_tokens, visit, {}, k, {{}, {tokens(visit.micro_batch, k)}});
  }

  void emit_accept(const Visit& visit, GpuBatchId k) {
    const BufferId now = batch(visit.token_step, visit.micro_batch, k);
    const BufferId after = batch(TokenStep(visit.token_step.value + 1), visit.micro_batch, k);
    emit(StepKind::accept, visit, {}, k, {{tokens(visit.micro_batch, k), now}, {after}});
  }

  void emit_load_hidden(const Visit& visit, GpuBatchId k) {
    work_of_[index(k)] = hidden_ring_.next();
    Uses load{{batch(visit.token_step, visit.micro_batch, k), hidden_home(visit.micro_batch, k)},
              {hidden_work(k)}};
    if (p_.hidden.disk) {
      const BufferId from_disk =
          stage(BufferKind::hidden_stage, hidden_stages_.next(), p_.sizes.hidden_stage);
      emit(StepKind::read_hidden, visit, visit.layer, k,
           {{batch(visit.token_step, visit.micro_batch, k), hidden_disk(visit.micro_batch, k)}, {from_disk}});
      load.reads.push_back(from_disk);
    }
    emit(StepKind::load_hidden, visit, visit.layer, k, load);
  }

  void emit_store_hidden(const Visit& visit, GpuBatchId k) {
    const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
    Uses store{{rows, hidden_work(k)}, {hidden_home(visit.micro_batch, k)}};
    if (!p_.hidden.disk) {
      emit(StepKind::store_hidden, visit, visit.layer, k, store);
      return;
    }
    const BufferId to_disk =
        stage(BufferKind::hidden_write_stage, hidden_write_stages_.next(), p_.sizes.hidden_stage);
    store.writes.push_back(to_disk);
    emit(StepKind::store_hidden, visit, visit.layer, k, store);
    emit(StepKind::write_hidden, visit, visit.layer, k,
         {{rows, to_disk}, {hidden_disk(visit.micro_batch, k)}});
  }

  void emit_load_kv(const Visit& visit, GpuBatchId k) {
    kv_ring_.next();
    if (visit.token_step.value == 0) return;  // nothing is stored yet; the slot takes the prompt's rows
    const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
    Uses load{{rows, kv_block(visit, k, Tier::host)}, {kv_slot()}};
    if (p_.kv.disk) {
      const BufferId from_disk = stage(BufferKind::kv_stage, kv_stages_.next(), p_.sizes.kv_stage);
      emit(StepKind::read_kv, visit, visit.layer, k, {{rows, kv_block(visit, k, Tier::disk)}, {from_disk}});
      load.reads.push_back(from_disk);
    }
    emit(StepKind::load_kv, visit, visit.layer, k, load);
  }

  void emit_store_kv(const Visit& visit, GpuBatchId k, BufferId slot) {
    if (visit.token_step.value + 1 == end_step() && !p_.continues) return;  // never read again
    const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
    Uses store{{rows, slot}, {kv_block(visit, k, Tier::host)}};
    if (p_.host_attention.any && visit.token_step.value == 0) store.writes.push_back(kv_cpu(visit, k));
    if (!p_.kv.disk) {
      emit(StepKind::store_kv, visit, visit.layer, k, store);
      return;
    }
    const BufferId to_disk = stage(BufferKind::kv_write_stage, kv_write_stages_.next(), p_.sizes.kv_stage);
    store.writes.push_back(to_disk);
    emit(StepKind::store_kv, visit, visit.layer, k, store);
    emit(StepKind::write_kv, visit, visit.layer, k, {{rows, to_disk}, {kv_block(visit, k, Tier::disk)}});
  }

  template <class EmitLoads>
  void emit_head(const Visit& visit, std::size_t v, GpuBatchId k, EmitLoads emit_more_loads) {
    if (keeps_hidden()) {
      finish_batch(k);
    } else {
      finish_all();  // whoever is under way keeps a work buffer, and the ring has no more than that
      emit_load_hidden(visit, k);
    }
    emit_more_loads();
    const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
    const BufferId chosen = tokens(visit.micro_batch, k);
    emit(StepKind::sample, visit, visit.layer, k, {with_weights(v, {rows, hidden_work(k)}), {chosen}});
    if (!keeps_tokens()) emit(StepKind::send_tokens, visit, visit.layer, k, {{rows, chosen}, {}});
  }

  const StageParameters& p_;
  std::vector<Visit> visits_;
  WeightRing weights_;
  Program program_;
  std::map<std::pair<BufferKind, std::int64_t>, BufferId> ids_;
  std::optional<WeightLoad> load_;     // under way
  int emitted_parts_ = 0;              // of it
  std::int64_t turn_ = -1;             // which set of work buffers takes what enters the stage
  std::vector<std::int32_t> work_of_;  // [GPU batch] → index of its work buffer now
  std::deque<UnderWay> under_way_;
  Ring host_ring_{p_.host_attention.in_flight};
  Ring weight_stages_{2}, kv_ring_{p_.kv_slots}, kv_stages_{2}, kv_write_stages_{2};
  Ring hidden_ring_{hidden_work_buffers(p_)}, hidden_stages_{2}, hidden_write_stages_{2};
};

}  // namespace

namespace {

// Two sets, so that one micro-batch arrives while another is computed; one where there is only one
// micro-batch. Of looped stages the first also has those in which micro-batches wait that come back before
// their turn.
std::int64_t hidden_sets(const StageParameters& p) {
  if (p.ranks == 1 && p.micro_batches == 1) return 1;
  if (p.slice.run_count() == 1 || !p.slice.embedding) return 2;
  return std::max<std::int64_t>(2, p.micro_batches - p.ranks + 2);
}

}  // namespace

// Looped stages: one more than the micro-batch that waits until the next rank takes it, and another to
// compute with, or all ranks would wait for each other to take theirs.
std::int64_t hidden_work_buffers(const StageParameters& p) {
  if (!p.hidden.any) return hidden_sets(p) * p.gpu_batches;
  return p.slice.run_count() == 1 ? p.hidden_slots
                                  : std::max<std::int64_t>(p.hidden_slots, 2 * p.gpu_batches + 1);
}

// None where hidden states go through one layer and leave.
std::int64_t hidden_homes(const StageParameters& p) {
  if (parks(p)) return p.gpu_batches * p.micro_batches;
  const bool passes = p.slice.runs().front().layers == 1 && !p.slice.head;
  return passes ? 0 : p.gpu_batches;
}

Program build_program(const StageParameters& parameters) { return BlockScheduleBuilder(parameters).build(); }

}  // namespace optpipe::schedule
