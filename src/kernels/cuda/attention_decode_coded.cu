// Attention of single queries over quantized keys and values, widened in registers.
#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launches.hpp"

namespace optpipe::kernels::cuda {
namespace {

template <StorageFormat format>
RowKernel kernel_for(std::int64_t dim, bool wide) {
  return wide ? row_kernel_for<CodedRows<format, true>>(dim) : attend_rows<32, CodedRows<format, false>>;
}

}  // namespace

RowKernel coded_row_kernel(StorageFormat format, std::int64_t dim, bool wide) {
  return format == StorageFormat::q8 ? kernel_for<StorageFormat::q8>(dim, wide)
                                     : kernel_for<StorageFormat::q4>(dim, wide);
}

}  // namespace optpipe::kernels::cuda
