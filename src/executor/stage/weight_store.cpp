#include "executor/stage/weight_store.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "executor/stage/row_reader.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::executor {

using memory::GroupLayout;
using memory::Tier;
using model::Role;

namespace {

model::TensorInfo first_matrix(const model::ModelConfig& config, const model::StageSlice& slice,
                               const model::Checkpoint& checkpoint) {
  const auto layer = model::layer_tensors(config, slice.first);
  const auto fc1 = std::ranges::find(layer, Role::fc1_weight, &model::TensorSpec::role);
  return find_tensor(checkpoint, *fc1);
}

}  // namespace

DType weight_dtype(const model::ModelConfig& config, const model::StageSlice& slice,
                   const model::Checkpoint& checkpoint) {
  return first_matrix(config, slice, checkpoint).dtype;
}

StorageFormat weight_format(const model::ModelConfig& config, const model::StageSlice& slice,
                            const model::Checkpoint& checkpoint, StorageFormat wanted) {
  return is_quantized(wanted) ? wanted : first_matrix(config, slice, checkpoint).format;
}

Matrix Matrix::part(std::int64_t first, std::int64_t wanted) const {
  OPTPIPE_CHECK(first >= 0 && wanted >= 0 && first + wanted <= rows, "rows {} to {} of a matrix of {}", first,
                first + wanted, rows);
  const Bytes row_bytes = RowFormat{format, dtype, columns}.row_bytes();
  Matrix part{dtype, wanted, columns, {}, 0, format};
  std::int64_t begin = 0;  // of the piece
  for (const auto& piece : std::span(pieces).first(count)) {
    const std::int64_t from = std::max(first, begin), to = std::min(first + wanted, begin + piece.rows);
    if (from < to)
      part.pieces[part.count++] = {piece.data + static_cast<Bytes>(from - begin) * row_bytes, to - from};
    begin += piece.rows;
  }
  return part;
}

WeightStore::WeightStore(planner::WeightPlan plan, const model::Checkpoint& checkpoint,
                         memory::DiskFile& disk, const TierMemory& memory, Copier& copier, int threads)
    : plan_(std::move(plan)),
      disk_(disk),
      device_("weights on the device", plan_.bytes[0] + plan_.all_slots(), memory.device),
      host_("weights on the host", plan_.bytes[1] + plan_.all_stages(), memory.host) {
  // Stages first: whole pages each, from the page on which the arena begins.
  for (int i = 0; i < plan_.stages; ++i) stages_.push_back(host_.take(plan_.stage_bytes));
  tables_.layout = plan_.tables;
  projection_.layout = plan_.projection;
  place(tables_, device_, host_);
  place(projection_, device_, host_);
  for (const auto& layout : plan_.groups) {
    groups_.push_back({layout, {}, 0});
    place(groups_.back(), device_, host_);
  }
  for (int i = 0; i < plan_.slots; ++i) slots_.push_back(device_.take(plan_.slot_bytes));
  token_table_ =
      tables_.layout.find(Role::token_embedding) != nullptr || groups_.empty() ? &tables_ : &groups_.back();
  std::vector<LoadTask> tasks;
  add_tasks(tables_, tasks);
  add_tasks(projection_, tasks);
  for (const Group& group : groups_) add_tasks(group, tasks);
  load_weights(tasks, checkpoint, disk_, copier, memory.device.is_host_accessible(), threads);
}

void WeightStore::place(Group& group, memory::Arena& device, memory::Arena& host) {
  group.base = {device.take(group.layout.on(Tier::device)).data(),
                host.take(group.layout.on(Tier::host)).data()};
  if (group.layout.on(Tier::disk) > 0) group.disk_base = disk_.take(group.layout.on(Tier::disk));
}

void WeightStore::add_tasks(const Group& group, std::vector<LoadTask>& tasks) const {
  for (const auto& tensor : group.layout.tensors) {
    for (const auto& piece : tensor.pieces) {
      LoadTask task{tensor.spec, tensor.format, piece.tier, piece.first_row, piece.rows, nullptr, 0};
      if (piece.tier == Tier::disk)
        task.disk_offset = group.disk_base + piece.offset;
      else
        task.memory = group.base[static_cast<std::size_t>(piece.tier)] + piece.offset;
      tasks.push_back(task);
    }
  }
}

void WeightStore::read(std::size_t group, std::int32_t stage) {
  const Group& source = groups_[group];
  disk_.read(source.disk_base, stages_[static_cast<std::size_t>(stage)].first(source.layout.on(Tier::disk)));
}

// A slot holds the host block and then the disk block; part p of n is the p-th nth of these bytes.
void WeightStore::load(std::size_t group, std::int32_t slot, std::int32_t stage, int part, int parts,
                       Copier& copier) {
  const Group& source = groups_[group];
  const Bytes total = source.layout.slot_bytes(), from_host = source.layout.on(Tier::host);
  const auto n = static_cast<Bytes>(parts);
  const auto cut = [&](int p) { return total * static_cast<Bytes>(p) / n; };
  const Bytes begin = cut(part), end = cut(part + 1);
  std::byte* to = slots_[static_cast<std::size_t>(slot)].data();
  if (begin < from_host) copier.copy(to + begin, source.base[1] + begin, std::min(end, from_host) - begin);
  if (end > from_host) {
    const Bytes first = std::max(begin, from_host);
    copier.copy(to + first, stages_[static_cast<std::size_t>(stage)].data() + (first - from_host),
                end - first);
  }
}

Matrix WeightStore::view(const Group& group, const memory::TensorPlacement& tensor,
                         const std::byte* slot) const {
  Matrix matrix{plan_.dtype, tensor.spec.rows, tensor.spec.columns, {}, 0, tensor.format.format};
  for (const auto& piece : tensor.pieces) {
    const std::byte* block = group.base[0];
    if (piece.tier == Tier::host) block = slot;
    if (piece.tier == Tier::disk) block = slot + group.layout.disk_offset_in_slot();
    matrix.pieces[matrix.count++] = {block + piece.offset, piece.rows};
  }
  return matrix;
}

Matrix WeightStore::matrix(std::size_t group, Role role, std::int32_t slot) const {
  const auto* tensor = groups_[group].layout.find(role);
  OPTPIPE_CHECK(tensor != nullptr, "group {} has no tensor of role {}", group, static_cast<int>(role));
  return view(groups_[group], *tensor, slot < 0 ? nullptr : slots_[static_cast<std::size_t>(slot)].data());
}

kernels::VectorView WeightStore::vector(std::size_t group, Role role, std::int32_t slot) const {
  const auto* tensor = groups_[group].layout.find(role);
  if (tensor == nullptr) return {};
  const Matrix row =
      view(groups_[group], *tensor, slot < 0 ? nullptr : slots_[static_cast<std::size_t>(slot)].data());
  return {plan_.dtype, row.pieces[0].data};
}

WeightStore::Table WeightStore::find_table(Role role) const {
  const Group& group = role == Role::token_embedding ? *token_table_ : tables_;
  const auto* tensor = group.layout.find(group.layout.find(role) != nullptr ? role : Role::lm_head);
  OPTPIPE_CHECK(tensor != nullptr, "there is no table {}", static_cast<int>(role));
  return {group, *tensor};
}

void WeightStore::gather(Role table, std::int64_t row, std::span<float> out) const {
  const auto& [group, tensor] = find_table(table);
  OPTPIPE_CHECK(row >= 0 && row < tensor.spec.rows, "row {} of table {}", row, static_cast<int>(table));
  const Bytes row_bytes = tensor.row_bytes();
  for (const auto& piece : tensor.pieces) {
    if (row < piece.first_row || row >= piece.first_row + piece.rows) continue;
    const Bytes offset = piece.offset + static_cast<Bytes>(row - piece.first_row) * row_bytes;
    if (piece.tier != Tier::disk)
      return kernels::to_float(group.base[static_cast<std::size_t>(piece.tier)] + offset, plan_.dtype,
                               out.data(), tensor.spec.columns);
    thread_local std::vector<std::byte> buffer;
    buffer.resize(row_bytes);
    disk_.read_cached(group.disk_base + offset, buffer);
    return kernels::to_float(buffer.data(), plan_.dtype, out.data(), tensor.spec.columns);
  }
}

bool WeightStore::tables_in_memory() const {
  return tables_.layout.on(Tier::disk) == 0 && token_table_->layout.on(Tier::disk) == 0;
}

Matrix WeightStore::table(Role role) const {
  OPTPIPE_CHECK(tables_in_memory(), "table {} is not in memory", static_cast<int>(role));
  const auto& [group, tensor] = find_table(role);
  return view(group, tensor, group.base[1]);
}

bool WeightStore::is_on_device(Role table) const {
  return std::ranges::all_of(find_table(table).tensor.pieces,
                             [](const auto& piece) { return piece.tier == Tier::device; });
}

std::optional<Matrix> WeightStore::project_in() const {
  const auto* tensor = projection_.layout.find(Role::project_in);
  if (tensor == nullptr) return std::nullopt;
  return view(projection_, *tensor, nullptr);
}

}  // namespace optpipe::executor
