// Reads weights from a checkpoint into their places on three tiers, in the formats of their places.
#pragma once

#include <span>

#include "executor/stage/backend.hpp"
#include "optpipe/memory/disk_file.hpp"
#include "optpipe/memory/weight_layout.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"

namespace optpipe::executor {

// Some rows of a tensor and their place.
struct LoadTask {
  model::TensorSpec spec;
  RowFormat format;
  memory::Tier tier{};
  std::int64_t first_row = 0, rows = 0;
  std::byte* memory = nullptr;  // on the device and on the host
  Bytes disk_offset = 0;        // on disk
};

// Several threads take chunks of rows in turn, so that conversion and quantization keep up with the files and
// neither needs a copy of a whole tensor. Throws InputError for a tensor that is missing or has another shape
// than its specification.
void load_weights(std::span<const LoadTask> tasks, const model::Checkpoint& checkpoint,
                  memory::DiskFile& disk, Copier& copier, bool device_is_host, int threads);

}  // namespace optpipe::executor
