// The weights of a slice on three tiers, and the slots through which the offloaded part reaches the device.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "executor/stage/weight_loader.hpp"
#include "optpipe/kernels/cpu.hpp"
#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"
#include "optpipe/planner/weights.hpp"

namespace optpipe::executor {

// A matrix view together with the pieces that it refers to.
struct Matrix {
  DType dtype{};
  std::int64_t rows = 0, columns = 0;
  std::array<kernels::MatrixPiece, 3> pieces{};
  std::size_t count = 0;
  StorageFormat format = StorageFormat::native;

  kernels::MatrixView view() const { return {dtype, rows, columns, {pieces.data(), count}, format}; }
  Matrix part(std::int64_t first, std::int64_t count) const;  // rows [first, first + count)
};

class WeightStore {
 public:
  // Takes memory and reads the slice from the checkpoint. Throws InputError for a tensor that is missing or
  // has another shape than the configuration says. Reads, and quantizes, with up to `threads` threads.
  WeightStore(planner::WeightPlan plan, const model::Checkpoint& checkpoint, memory::DiskFile& disk,
              const TierMemory& memory, Copier& copier, int threads);

  void read(std::size_t group, std::int32_t stage);  // disk → stage
  // host, stage → slot; part `part` of `parts`
  void load(std::size_t group, std::int32_t slot, std::int32_t stage, int part, int parts, Copier& copier);

  // Of a group whose offloaded part is in `slot` (-1 where it has none). An absent tensor gives a null
  // vector.
  Matrix matrix(std::size_t group, model::Role role, std::int32_t slot) const;
  kernels::VectorView vector(std::size_t group, model::Role role, std::int32_t slot) const;

  // All that lies on the device, slots included.
  std::span<const std::byte> device_memory() const { return {tables_.base[0], device_.used()}; }
  std::span<std::byte> slot(std::int32_t slot) { return slots_[static_cast<std::size_t>(slot)]; }

  // Row `row` of an embedding table, widened to `out`.
  void gather(model::Role table, std::int64_t row, std::span<float> out) const;
  std::optional<Matrix> project_in() const;
  // A whole embedding table where it lies, on the device or on the host, where no part of any is on disk.
  bool tables_in_memory() const;
  Matrix table(model::Role role) const;
  bool is_on_device(model::Role table) const;  // all of it

 private:
  struct Group {
    memory::GroupLayout layout;
    std::array<std::byte*, 2> base{};  // device, host
    Bytes disk_base = 0;
  };

  struct Table {
    const Group& group;
    const memory::TensorPlacement& tensor;
  };
  Table find_table(model::Role role) const;

  void place(Group& group, memory::Arena& device, memory::Arena& host);
  void add_tasks(const Group& group, std::vector<LoadTask>& tasks) const;
  Matrix view(const Group& group, const memory::TensorPlacement& tensor, const std::byte* slot) const;

  planner::WeightPlan plan_;
  memory::DiskFile& disk_;
  memory::Arena device_, host_;
  Group tables_, projection_;
  std::vector<Group> groups_;
  const Group* token_table_ = nullptr;  // tables_, or the head's group where it shares the table
  std::vector<std::span<std::byte>> slots_, stages_;
};

}  // namespace optpipe::executor
