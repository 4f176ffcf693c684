#include "kernels/cpu/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/quantized.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/quantized-inl.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/kernels/cpu.hpp"

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {
namespace {

HWY_ATTR void quantize_row(const RowFormat& format, std::int64_t runs, const float* from, std::byte* to) {
  if (format.format == StorageFormat::q8)
    narrow_row<StorageFormat::q8>(format, runs, from, to);
  else
    narrow_row<StorageFormat::q4>(format, runs, from, to);
}

HWY_ATTR void dequantize_row(const RowFormat& format, std::int64_t runs, const std::byte* from, float* to) {
  for (std::int64_t r = 0; r < runs; ++r)
    widen_quantized(format, runs, from, r, 0, format.run, to + r * format.run);
}

}  // namespace
}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace optpipe::kernels {
namespace {

HWY_EXPORT(quantize_row);
HWY_EXPORT(dequantize_row);

void check(const RowFormat& format, std::int64_t runs) {
  OPTPIPE_CHECK(is_quantized(format.format) && format.run > 0 && runs >= 0,
                "rows of {} runs of {} values as {}", runs, format.run, name_of(format.format));
}

}  // namespace

void quantize(const RowFormat& format, std::int64_t runs, const float* from, std::byte* to) {
  check(format, runs);
  HWY_DYNAMIC_DISPATCH(quantize_row)(format, runs, from, to);
}

void dequantize(const RowFormat& format, std::int64_t runs, const std::byte* from, float* to) {
  check(format, runs);
  HWY_DYNAMIC_DISPATCH(dequantize_row)(format, runs, from, to);
}

void narrow_row(const RowFormat& format, std::int64_t runs, const float* from, std::byte* to) {
  if (is_quantized(format.format))
    quantize(format, runs, from, to);
  else
    from_float(from, to, format.dtype, runs * format.run);
}

void widen_row(const RowFormat& format, std::int64_t runs, const std::byte* from, float* to) {
  if (is_quantized(format.format))
    dequantize(format, runs, from, to);
  else
    to_float(from, format.dtype, to, runs * format.run);
}

}  // namespace optpipe::kernels
#endif
