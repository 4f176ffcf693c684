// Where the keys and values of a batch's rows are, as the kernels take it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "executor/stage/kv_store.hpp"
#include "optpipe/kernels/cuda.hpp"

namespace optpipe::executor::cuda {

using Half = kernels::cuda::Half;

// Gives the tasks for rows [first, first + count) of a batch, numbered from `first`, where they are on the
// device or will be in the order of the stream.
using TaskSource = std::function<kernels::cuda::KvBatch(std::int64_t first, std::int64_t count)>;

// The tasks themselves, and their bounds: a context's is that of any sequence, so that it changes neither
// from token step to token step nor when a sequence ends.
std::vector<kernels::cuda::KvTask> kv_tasks(const std::vector<KvStore::Segment>& segments, std::int64_t first,
                                            std::int64_t count);
kernels::cuda::KvBatch batch_of(const std::vector<kernels::cuda::KvTask>& tasks,
                                const std::vector<KvStore::Segment>& segments,
                                const kernels::cuda::KvTask* uploaded, std::int64_t most_positions);

}  // namespace optpipe::executor::cuda
