#include "simulator/cost_model.hpp"

#include <algorithm>

#include "optpipe/base/check.hpp"

namespace optpipe::simulator {

using memory::Tier;
using schedule::BufferKind;
using schedule::StepKind;

namespace {

constexpr double kDiskRequestS = 10e-6;  // a small write: through the page cache
constexpr double kEagerBytes = 4096;     // messages up to this do not wait for their receive
constexpr double kLinkChunk = static_cast<double>(planner::cuda::kLinkChunk);

double element_of(const StageShape& shape) { return static_cast<double>(shape.plan.hidden.element); }

ComputeCost::Elements elements_of(const Scenario& scenario, const StageShape& shape) {
  const auto& policy = scenario.policy;
  const auto weights = static_cast<double>(size_of(shape.plan.weights.dtype));
  return {element_of(shape),
          static_cast<double>(size_of(shape.plan.needs.kv)) * size_factor(policy.kv_format),
          weights * size_factor(policy.weight_format),
          !is_quantized(policy.weight_format),
          shape.plan.needs.widened_bytes > 0 ? static_cast<double>(policy.gpu_batches) : 0,
          policy.x_cache};
}

}  // namespace

CostModel::CostModel(const Scenario& scenario, const Machine& machine, const NodeResources& resources,
                     const memory::Round& round, std::vector<std::int64_t> token_steps,
                     std::vector<std::shared_ptr<const StageShape>> shapes)
    : scenario_(scenario),
      machine_(machine),
      resources_(resources),
      round_(round),
      token_steps_(std::move(token_steps)),
      shapes_(std::move(shapes)),
      compute_(scenario.config, machine.device, scenario.threads, elements_of(scenario, *shapes_.front())) {
  // Products of prompts, of the rank with the most layers: all rounds follow each other.
  double products = 0;
  Step first;
  first.token_step = TokenStep(0);
  for (std::size_t m = 0; m < round.micro_batches.size(); ++m)
    for (std::size_t k = 0; k < round.micro_batches[m].size(); ++k) {
      first.micro_batch = MicroBatchId(static_cast<std::int64_t>(m));
      first.gpu_batch = GpuBatchId(static_cast<std::int64_t>(k));
      products += compute_.prompt_products(batch(first));
    }
  std::int64_t layers = 0;
  for (const auto& slice : scenario.slices) layers = std::max(layers, slice.layers);
  compute_.slow_down_prompts(compute_.sustained_factor(products * static_cast<double>(layers)));
}

std::int64_t CostModel::layer_in_slice(const Program& program, const Step& step) const {
  return scenario_.slices[static_cast<std::size_t>(program.rank.value)].index_of(step.layer);
}

const memory::GpuBatch& CostModel::gpu_batch(const Step& step) const {
  return round_.micro_batches[static_cast<std::size_t>(step.micro_batch.value)]
                             [static_cast<std::size_t>(step.gpu_batch.value)];
}

// Of the GPU batch, those that the step is of.
memory::Places CostModel::places(const Step& step) const {
  return memory::places_of_part(gpu_batch(step), step.parts > 1 ? step.part : 0, step.parts);
}

ComputeCost::Batch CostModel::batch(const Step& step) const {
  const auto own = places(step);
  const auto sequences = std::span(gpu_batch(step)).subspan(own.begin, own.end - own.begin);
  const std::int64_t t = token_steps_[static_cast<std::size_t>(step.token_step.value)];
  ComputeCost::Batch batch{.sequences = static_cast<double>(sequences.size()), .prompt = t == 0};
  if (sequences.empty()) return batch;
  double tokens = 0;
  for (const auto& sequence : sequences) tokens += static_cast<double>(sequence.prompt_tokens);
  batch.rows = t == 0 ? tokens : batch.sequences;
  batch.context = tokens / batch.sequences + static_cast<double>(t);
  return batch;
}

// Positions of a sequence's cache in all.
double CostModel::kv_positions() const {
  for (const auto& micro_batch : round_.micro_batches)
    for (const auto& gpu_batch : micro_batch)
      if (!gpu_batch.empty()) return static_cast<double>(gpu_batch.front().kv_positions());
  return 1;
}

double CostModel::bytes_of_kv(const Program& program, const Step& step, BufferKind kind,
                              double positions) const {
  for (const schedule::Access& access : step.accesses()) {
    const auto& buffer = program.buffer(access.buffer);
    if (buffer.kind == kind) return static_cast<double>(buffer.bytes) * positions / kv_positions();
  }
  return 0;
}

Cost CostModel::transfer(Rank rank, bool in, double bytes, double copies) const {
  const auto& own = resources_.of(rank);
  const double rate = in ? machine_.copies.in : machine_.copies.out;
  Cost cost;
  cost.latency_s = copies * machine_.copies.copy_s;
  cost.work_s = bytes / rate;
  if (scenario_.is_gpu()) {
    for (const auto resource :
         {in ? own.in : own.out, own.both, in ? own.all_in : own.all_out, own.all_both, own.memory})
      cost.add(resource, rate);
  } else {
    cost.add(own.memory, 2 * rate);  // read and written
    cost.add(own.cores, 1);
  }
  return cost;
}

Cost CostModel::disk(Rank rank, bool read, double bytes, double requests) const {
  const double rate = read ? machine_.disk.read_bytes_s : machine_.disk.write_bytes_s;
  Cost cost;
  cost.latency_s = requests * kDiskRequestS;
  cost.work_s = bytes / rate;
  cost.add(read ? resources_.of(rank).disk_read : resources_.of(rank).disk_write, rate);
  cost.add(resources_.of(rank).memory, rate);
  return cost;
}

// Computation has a GPU to itself; cores share host memory with what else runs there.
Cost CostModel::compute(Rank rank, double seconds, double bytes) const {
  Cost cost;
  cost.work_s = seconds;
  if (scenario_.is_gpu() || seconds <= 0) return cost;
  cost.add(resources_.of(rank).cores, scenario_.threads);
  cost.add(resources_.of(rank).memory, bytes / seconds);
  return cost;
}

// Decode steps go as one graph where nothing but each other is to be waited for.
double CostModel::between(const Program& program, const ComputeCost::Batch& rows) const {
  const auto& plan = shape(program).plan;
  const bool graph = !plan.weights.layers_move && plan.kv.slots == 0 && plan.hidden.shares.all_on_device();
  return scenario_.is_gpu() && !rows.prompt && !graph ? machine_.device.step_s : 0;
}

Cost CostModel::message(const Program& program, const Step& step) const {
  Cost cost;
  const auto rows = batch(step);
  if (rows.sequences == 0) return cost;
  const bool tokens = step.kind == StepKind::send_tokens;
  const int next = tokens ? 0 : (program.rank.value + 1) % program.ranks;
  const bool near = resources_.node_of(program.rank) == resources_.node_of(Rank(next));
  const Channel& network = machine_.network.bytes_s > 0 ? machine_.network : machine_.host_link;
  const Channel& by_host = near ? machine_.host_link : network;
  if (tokens) {
    cost.latency_s = by_host.latency_s;
    cost.work_s = 4 * rows.sequences / std::max(by_host.bytes_s, 1.0);
    cost.eager = 4 * rows.sequences <= kEagerBytes;
    return cost;
  }
  const double bytes = rows.rows * static_cast<double>(scenario_.config.hidden) * element_of(shape(program));
  cost.latency_s = by_host.latency_s;  // of the flags ahead
  if (scenario_.is_gpu() && scenario_.device_link && near && machine_.device_link.bytes_s > 0) {
    cost.latency_s += machine_.device_link.latency_s;
    cost.work_s = bytes / machine_.device_link.bytes_s;
    return cost;
  }
  cost.latency_s += by_host.latency_s;
  cost.work_s = bytes / std::max(by_host.bytes_s, 1.0);
  if (!scenario_.is_gpu()) return cost;
  // Chunks follow each other through pinned memory: the first comes from the GPU, the last goes to it.
  const double chunk = std::min(bytes, kLinkChunk);
  cost.latency_s += chunk / machine_.copies.out + chunk / machine_.copies.in + 2 * machine_.copies.copy_s;
  return cost;
}

Cost CostModel::weights(const Program& program, const Step& step) const {
  const auto& groups = shape(program).plan.weights.groups;
  const auto& group = groups[static_cast<std::size_t>(layer_in_slice(program, step))];
  if (step.kind == StepKind::read_weights)
    return disk(program.rank, true, static_cast<double>(group.on(Tier::disk)), 0);
  return transfer(program.rank, true, static_cast<double>(group.slot_bytes()) / program.weight_parts, 1);
}

Cost CostModel::kv(const Program& program, const Step& step) const {
  const auto rows = batch(step);
  const bool reads = step.kind == StepKind::read_kv || step.kind == StepKind::load_kv;
  const double own = rows.prompt ? rows.context : 1;  // new positions
  const double positions = reads ? rows.context - own : own;
  const auto& block =
      shape(program).kv.block(step.micro_batch, step.gpu_batch, layer_in_slice(program, step));
  const auto own_places = places(step);
  const auto is_own = [&](const memory::KvSegment& segment) {
    const auto place = static_cast<std::size_t>(segment.sequence);
    return place >= own_places.begin && place < own_places.end;
  };
  const double share = rows.sequences / std::max(1.0, static_cast<double>(gpu_batch(step).size()));
  const auto is_joined = [&](const memory::KvSegment& segment) {
    return (static_cast<double>(segment.positions) - positions) * static_cast<double>(segment.row_bytes) <=
           static_cast<double>(memory::kJoinedBytes);
  };
  double host_copies = reads ? 1 : 0, disk_copies = 0;  // arrays of each segment
  for (const auto& segment : block.segments) {
    if (!is_own(segment)) continue;
    if (segment.tier == Tier::host && (rows.prompt || !segment.on_cpu))
      host_copies += reads && is_joined(segment) ? 0 : segment.arrays;
    if (segment.tier == Tier::disk) disk_copies += segment.arrays;
  }
  // Pages around keys on disk are not moved, so their bytes come from the rows.
  double on_disk = 0;
  for (const auto& segment : block.segments)
    if (segment.tier == Tier::disk && is_own(segment))
      on_disk += segment.arrays * static_cast<double>(segment.row_bytes) * positions;
  switch (step.kind) {
    case StepKind::read_kv:
      return disk(program.rank, true, on_disk, 0);
    case StepKind::write_kv:
      return disk(program.rank, false, on_disk, rows.prompt ? 0 : disk_copies);
    default: {
      const double on_host = share * (bytes_of_kv(program, step, BufferKind::kv_host, positions) +
                                      bytes_of_kv(program, step, BufferKind::kv_cpu, positions));
      return transfer(program.rank, reads, on_host + on_disk, host_copies + disk_copies);
    }
  }
}

Cost CostModel::hidden(const Program& program, const Step& step) const {
  const auto& plan = shape(program).plan.hidden;
  const auto rows = batch(step);
  const auto values = plan.cut(static_cast<std::int64_t>(rows.rows) * scenario_.config.hidden);
  const auto bytes = [&](std::size_t tier) { return static_cast<double>(plan.bytes_of(values[tier])); };
  switch (step.kind) {
    case StepKind::read_hidden:
      return disk(program.rank, true, bytes(2), 0);
    case StepKind::write_hidden:
      return disk(program.rank, false, bytes(2), 0);
    default: {
      Cost cost = transfer(program.rank, step.kind == StepKind::load_hidden, bytes(1) + bytes(2),
                           1 + (values[2] > 0 ? 1 : 0));
      cost.latency_s += compute_.copy_on_device(bytes(0));
      return cost;
    }
  }
}

// Attention on cores, and the rows that it takes and gives.
Cost CostModel::on_cores(const Program& program, const Step& step) const {
  const auto rows = batch(step);
  const double row_bytes = rows.rows * static_cast<double>(scenario_.config.hidden) * 4;
  if (step.kind == StepKind::fetch_qkv) return transfer(program.rank, false, 3 * row_bytes, 1);
  if (step.kind == StepKind::return_attention) return transfer(program.rank, true, row_bytes, 1);
  const double bytes = bytes_of_kv(program, step, BufferKind::kv_cpu, rows.context);
  const double share = std::min(1.0, static_cast<double>(scenario_.threads) / machine_.cores);
  const double rate = machine_.host_memory.attention_bytes_s(scenario_.policy.kv_format) * share;
  Cost cost;
  cost.work_s = bytes / rate;
  cost.add(resources_.of(program.rank).memory, rate);
  cost.add(resources_.of(program.rank).cores, scenario_.threads);
  return cost;
}

Cost CostModel::computation(const Program& program, const Step& step) const {
  const auto rows = batch(step);
  if (rows.sequences == 0) return {};
  const auto& plan = shape(program).plan;
  const auto group_bytes = [&] {
    const auto& group = plan.weights.groups[static_cast<std::size_t>(layer_in_slice(program, step))];
    return static_cast<double>(group.on(Tier::device) + group.slot_bytes());
  };
  const auto h = static_cast<double>(scenario_.config.hidden), f = static_cast<double>(scenario_.config.ffn);
  const bool x_cache = scenario_.policy.x_cache;
  switch (step.kind) {
    case StepKind::embed: {
      const bool on_device =
          plan.weights.tables.slot_bytes() == 0 && scenario_.policy.weights.all_on_device();
      Cost cost = compute(program.rank, compute_.embed(rows), rows.rows * h * 8);
      // A GPU's kernel reads rows of tables on the host through the link.
      if (scenario_.is_gpu() && !on_device) cost.latency_s += rows.rows * h * 2 / machine_.copies.in;
      return cost;
    }
    case StepKind::project_qkv:
      return compute(program.rank, compute_.project_qkv(rows) + between(program, rows),
                     group_bytes() * (x_cache ? 1 : 3) * h / (4 * h + 2 * f));
    case StepKind::attend: {
      const auto& block =
          shape(program).kv.block(step.micro_batch, step.gpu_batch, layer_in_slice(program, step));
      const auto all = static_cast<double>(block.on(Tier::device) + block.slot_bytes());
      const double by_cores = rows.prompt || all <= 0 ? 0 : static_cast<double>(block.cpu_bytes) / all;
      const double kv_bytes = all * (1 - by_cores) * rows.context / kv_positions();
      return compute(program.rank, compute_.attend(rows, 1 - by_cores) + between(program, rows),
                     (rows.prompt ? 0 : kv_bytes) + (x_cache ? group_bytes() * 2 * h / (4 * h + 2 * f) : 0));
    }
    case StepKind::feed_forward:
      return compute(program.rank, compute_.feed_forward(rows) + between(program, rows),
                     group_bytes() * (h + 2 * f) / (4 * h + 2 * f));
    case StepKind::sample:
      return compute(program.rank, compute_.sample(rows), group_bytes());
    case StepKind::accept:
      return compute(program.rank, compute_.accept(rows), 0);
    default:
      OPTPIPE_CHECK(false, "no price for step {}", name_of(step.kind));
  }
}

Cost CostModel::operator()(const Program& program, const Step& step) const {
  switch (step.kind) {
    case StepKind::read_weights:
    case StepKind::load_weights:
      return weights(program, step);
    case StepKind::read_kv:
    case StepKind::load_kv:
    case StepKind::store_kv:
    case StepKind::write_kv:
      return kv(program, step);
    case StepKind::read_hidden:
    case StepKind::load_hidden:
    case StepKind::store_hidden:
    case StepKind::write_hidden:
      return hidden(program, step);
    case StepKind::fetch_qkv:
    case StepKind::attend_host:
    case StepKind::return_attention:
      return on_cores(program, step);
    case StepKind::send_hidden:
    case StepKind::send_tokens:
      return message(program, step);
    case StepKind::recv_hidden:
    case StepKind::recv_tokens:
      return {};  // their sends are asked
    default:
      return computation(program, step);
  }
}

}  // namespace optpipe::simulator
