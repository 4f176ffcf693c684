// Attention of single queries over quantized keys and values, widened in registers.
#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launches.hpp"

namespace optpipe::kernels::cuda {
namespace {

template <StorageFormat format>
RowKernels kernels_for(std::int64_t dim, bool wide) {
  return wide ? row_kernels_for<CodedRows<format, true>>(dim) : row_kernels<32, CodedRows<format, false>>();
}

}  // namespace

RowKernels coded_row_kernels(StorageFormat format, std::int64_t dim, bool wide) {
  return format == StorageFormat::q8 ? kernels_for<StorageFormat::q8>(dim, wide)
                                     : kernels_for<StorageFormat::q4>(dim, wide);
}

}  // namespace optpipe::kernels::cuda
