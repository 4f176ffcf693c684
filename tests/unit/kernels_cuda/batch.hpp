// A packed batch of sequences whose heads lie in segments, on the device and on the host.
#pragma once

#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda::testing {

struct SequenceShape {
  std::int64_t position = 0;                // keys and values that are there already
  std::int64_t rows = 1;                    // new ones
  std::vector<std::int64_t> segments = {};  // heads of the first ones; the last holds the others
};

struct BatchShape {
  std::int64_t heads = 1, dim = 64;
  std::vector<SequenceShape> sequences;
  std::int64_t padding = 0;  // elements between rows of q, k, v and out
  std::int64_t spare = 3;    // positions of capacity behind the context
  std::int64_t shift = 0;    // halves by which segments are off their alignment
  StorageFormat format = StorageFormat::native;
  bool odd = false;  // new keys and values that are no numbers, infinite, and zeros of both signs among them

  RowFormat row() const { return {format, DType::f16, dim}; }
};

class Batch {
 public:
  Batch(Random& random, BatchShape shape);

  // Poisons everything behind the old context, appends the new rows, and compares what is there then.
  void append_and_check(Context& context);
  // Fills the whole context (behind it is NaN), attends, and compares with the CPU.
  void attend_and_check(Context& context, bool decode, double scale = 1, double sparsity = 1);

  // Prompts attend to their keys and values widened beforehand with the bits of attention that widens.
  void widen_and_check(Context& context);

  const BatchShape& shape() const { return shape_; }
  KvBatch uploaded() const {
    KvBatch batch = batch_of(tasks_, device_tasks_->get());
    batch.format = shape_.format;
    return batch;
  }

 private:
  struct Segment {
    std::size_t sequence;
    std::int64_t first_head, heads, capacity;
    std::int64_t keys, values;  // offsets in the pool, in halves
  };
  std::int64_t stride() const { return shape_.heads * shape_.dim + shape_.padding; }
  std::vector<Half> pool(bool with_new_rows) const;
  void upload(const std::vector<Half>& pool);

  BatchShape shape_;
  std::int64_t rows_ = 0;
  std::vector<std::int64_t> first_rows_;
  std::vector<Segment> segments_;
  std::int64_t pool_size_ = 0;
  std::vector<Halves> old_keys_, old_values_;  // of each sequence, [position, heads · dim]
  Halves q_, k_, v_;                           // [rows, stride]
  std::vector<KvTask> tasks_;
  std::unique_ptr<Array<Half>> device_pool_;
  std::unique_ptr<Array<KvTask>> device_tasks_;
};

}  // namespace optpipe::kernels::cuda::testing
