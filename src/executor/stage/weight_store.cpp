#include "executor/stage/weight_store.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::executor {

using memory::GroupLayout;
using memory::Tier;
using model::Role;

DType weight_dtype(const model::ModelConfig& config, const model::StageSlice& slice,
                   const model::Checkpoint& checkpoint) {
  const auto layer = model::layer_tensors(config, slice.first);
  const auto fc1 = std::ranges::find(layer, Role::fc1_weight, &model::TensorSpec::role);
  const auto info = checkpoint.find(fc1->name);
  if (!info)
    throw InputError(
        fmt::format("{} has no tensor {}: it is incomplete, or config.json describes another model",
                    checkpoint.describe(), fc1->name));
  return info->dtype;
}

WeightStore::WeightStore(planner::WeightPlan plan, const model::Checkpoint& checkpoint,
                         memory::DiskFile& disk, const TierMemory& memory, Copier& copier)
    : plan_(std::move(plan)),
      disk_(disk),
      device_is_host_(memory.device.is_host_accessible()),
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
  fill(tables_, checkpoint, copier);
  fill(projection_, checkpoint, copier);
  for (const Group& group : groups_) fill(group, checkpoint, copier);
}

void WeightStore::place(Group& group, memory::Arena& device, memory::Arena& host) {
  group.base = {device.take(group.layout.on(Tier::device)).data(),
                host.take(group.layout.on(Tier::host)).data()};
  if (group.layout.on(Tier::disk) > 0) group.disk_base = disk_.take(group.layout.on(Tier::disk));
}

namespace {

void check_shape(const model::TensorSpec& spec, const model::TensorInfo& info,
                 const model::Checkpoint& checkpoint) {
  const std::vector<std::int64_t> expected =
      spec.vector ? std::vector{spec.columns} : std::vector{spec.rows, spec.columns};
  if (info.shape != expected)
    throw InputError(fmt::format(
        "{}: {} has shape [{}], but config.json asks for [{}]: the weights and the configuration belong "
        "to different models",
        checkpoint.describe(), spec.name, fmt::join(info.shape, ", "), fmt::join(expected, ", ")));
}

}  // namespace

// Goes through the tensor in chunks of rows, so that neither conversion nor the way to disk needs a copy of
// the whole.
void WeightStore::fill(const Group& group, const model::Checkpoint& checkpoint, Copier& copier) {
  constexpr Bytes kChunk = 8 * kMiB;
  std::vector<std::byte> raw;
  for (const auto& tensor : group.layout.tensors) {
    const auto& spec = tensor.spec;
    const auto info = checkpoint.find(spec.name);
    if (!info)
      throw InputError(
          fmt::format("{} has no tensor {}: it is incomplete, or config.json describes another model",
                      checkpoint.describe(), spec.name));
    check_shape(spec, *info, checkpoint);
    const Bytes row_bytes = static_cast<Bytes>(spec.columns) * size_of(plan_.dtype);
    const auto chunk_rows = std::max<std::int64_t>(1, static_cast<std::int64_t>(kChunk / row_bytes));
    memory::HostPages pages;
    memory::Arena arena(
        "a part of a weight on its way",
        static_cast<Bytes>(std::min(chunk_rows, spec.rows)) * row_bytes + memory::kDiskAlignment, pages);
    const auto chunk_pages = arena.take(arena.capacity());
    for (const auto& piece : tensor.pieces) {
      for (std::int64_t row = 0; row < piece.rows; row += chunk_rows) {
        const auto rows = std::min(chunk_rows, piece.rows - row);
        const auto count = rows * spec.columns;
        const Bytes size = static_cast<Bytes>(rows) * row_bytes,
                    offset = piece.offset + static_cast<Bytes>(row) * row_bytes;
        const bool in_place = piece.tier == Tier::host || (piece.tier == Tier::device && device_is_host_);
        // On the way to disk, as far from a page's begin as in the file.
        const Bytes shift =
            piece.tier == Tier::disk ? (group.disk_base + offset) % memory::kDiskAlignment : 0;
        std::byte* const chunk = chunk_pages.data() + shift;
        std::byte* to = in_place ? group.base[static_cast<std::size_t>(piece.tier)] + offset : chunk;
        const auto first = (piece.first_row + row) * spec.columns;
        if (info->dtype == plan_.dtype) {
          checkpoint.read(spec.name, first, count, {to, size});
        } else {
          raw.resize(static_cast<std::size_t>(count) * size_of(info->dtype));
          checkpoint.read(spec.name, first, count, raw);
          convert(raw.data(), info->dtype, to, plan_.dtype, static_cast<std::size_t>(count));
        }
        if (in_place) continue;
        if (piece.tier == Tier::disk) {
          disk_.write(group.disk_base + offset, std::span<const std::byte>(chunk, size));
        } else {
          copier.copy(group.base[0] + offset, chunk, size);
          copier.finish();
        }
      }
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
  Matrix matrix{plan_.dtype, tensor.spec.rows, tensor.spec.columns, {}, 0};
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

void WeightStore::gather(Role table, std::int64_t row, std::span<float> out) const {
  const Group& group = table == Role::token_embedding ? *token_table_ : tables_;
  const auto* tensor = group.layout.find(group.layout.find(table) != nullptr ? table : Role::lm_head);
  OPTPIPE_CHECK(tensor != nullptr && row >= 0 && row < tensor->spec.rows, "row {} of table {}", row,
                static_cast<int>(table));
  const Bytes row_bytes = static_cast<Bytes>(tensor->spec.columns) * size_of(plan_.dtype);
  for (const auto& piece : tensor->pieces) {
    if (row < piece.first_row || row >= piece.first_row + piece.rows) continue;
    const Bytes offset = piece.offset + static_cast<Bytes>(row - piece.first_row) * row_bytes;
    if (piece.tier != Tier::disk)
      return kernels::to_float(group.base[static_cast<std::size_t>(piece.tier)] + offset, plan_.dtype,
                               out.data(), tensor->spec.columns);
    thread_local std::vector<std::byte> buffer;
    buffer.resize(row_bytes);
    disk_.read_cached(group.disk_base + offset, buffer);
    return kernels::to_float(buffer.data(), plan_.dtype, out.data(), tensor->spec.columns);
  }
}

bool WeightStore::tables_on_device() const {
  return tables_.layout.slot_bytes() == 0 && token_table_->layout.slot_bytes() == 0;
}

Matrix WeightStore::table(Role role) const {
  const Group& group = role == Role::token_embedding ? *token_table_ : tables_;
  const auto* tensor = group.layout.find(group.layout.find(role) != nullptr ? role : Role::lm_head);
  OPTPIPE_CHECK(tensor != nullptr && tables_on_device(), "table {} is not on the device",
                static_cast<int>(role));
  return view(group, *tensor, nullptr);
}

std::optional<Matrix> WeightStore::project_in() const {
  const auto* tensor = projection_.layout.find(Role::project_in);
  if (tensor == nullptr) return std::nullopt;
  return view(projection_, *tensor, nullptr);
}

}  // namespace optpipe::executor
