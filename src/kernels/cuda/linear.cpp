#include <algorithm>

#include "kernels/cuda/launches.hpp"
#include "optpipe/base/check.hpp"

namespace optpipe::kernels::cuda {
namespace {

Activation activation_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::relu:
      return Activation::relu;
    case Epilogue::gelu:
      return Activation::gelu;
    default:
      return Activation::none;
  }
}

// The library's own GELU is an approximation, so it is not among what is fused.
void run_product(Context::Parts& parts, const Product& wanted, Epilogue epilogue) {
  Product product = wanted;
  product.relu = epilogue == Epilogue::relu;
  product.add = epilogue == Epilogue::add;
  auto* out = static_cast<Half*>(product.out);
  if (parts.matmul.run(product, parts.stream)) {
    if (epilogue == Epilogue::gelu)
      launch_epilogue(out, product.m, product.n, product.out_stride, nullptr, Activation::gelu, parts.stream);
    return;
  }
  product.bias = nullptr;
  product.relu = false;
  if (!parts.matmul.run(product, parts.stream)) launch_plain_product(product, parts.stream);
  if (!product.wide && (wanted.bias || activation_of(epilogue) != Activation::none))
    launch_epilogue(out, product.m, product.n, product.out_stride, wanted.bias, activation_of(epilogue),
                    parts.stream);
}

// Calls product(rows of halves, how many) for all rows of a piece of a quantized weight, about as many at a
// time.
template <class Run>
void for_widened_rows(Context::Parts& parts, const Piece& piece, const RowFormat& format, Run product) {
  constexpr std::int64_t kStep = 64;  // rows of a product's tiles
  const auto room = static_cast<std::int64_t>(parts.widened.bytes() / sizeof(Half)) / format.run;
  OPTPIPE_CHECK(room >= 1, "no room for quantized rows of {} values", format.run);
  const std::int64_t chunks = (piece.rows + room - 1) / room, even = (piece.rows + chunks - 1) / chunks;
  const std::int64_t step = std::min(room, (even + kStep - 1) / kStep * kStep);
  auto* widened = reinterpret_cast<Half*>(parts.widened.data());
  for (std::int64_t row = 0; row < piece.rows; row += step) {
    const std::int64_t count = std::min(step, piece.rows - row);
    launch_widen_rows(
        reinterpret_cast<const std::byte*>(piece.data) + static_cast<Bytes>(row) * format.row_bytes(), count,
        format, widened, parts.stream);
    product(widened, count);
  }
}

template <class Out>
void run_pieces(Context& context, const Half* x, std::int64_t x_stride, std::int64_t m, const Matrix& weight,
                const Half* bias, Epilogue epilogue, Out* out, std::int64_t out_stride) {
  OPTPIPE_CHECK(weight.columns > 0 && x_stride >= weight.columns, "rows of {} with stride {}", weight.columns,
                x_stride);
  OPTPIPE_CHECK(out_stride >= weight.rows(), "{} results with stride {}", weight.rows(), out_stride);
  if (m == 0) return;
  std::int64_t column = 0;
  const auto product = [&](const Half* rows, std::int64_t count) {
    run_product(context.parts(),
                {.m = m,
                 .n = count,
                 .k = weight.columns,
                 .x_stride = x_stride,
                 .out_stride = out_stride,
                 .whole_n = weight.part_of > 0 ? weight.part_of : weight.rows(),
                 .x = x,
                 .weight = rows,
                 .bias = bias ? bias + column : nullptr,
                 .wide = sizeof(Out) == sizeof(float),
                 .out = out + column},
                epilogue);
    column += count;
  };
  for (const Piece& piece : weight.pieces) {
    if (piece.rows == 0) continue;
    if (is_quantized(weight.format))
      for_widened_rows(context.parts(), piece, weight.row_format(), product);
    else
      product(piece.data, piece.rows);
  }
}

}  // namespace

void linear(Context& context, const Half* x, std::int64_t x_stride, std::int64_t m, const Matrix& weight,
            const Half* bias, Epilogue epilogue, Half* out, std::int64_t out_stride) {
  run_pieces(context, x, x_stride, m, weight, bias, epilogue, out, out_stride);
}

ProductTiming::ProductTiming(Context& context, std::span<const std::byte> cold) : context_(context) {
  context_.parts().matmul.start_timing(cold);
}
ProductTiming::~ProductTiming() { context_.parts().matmul.stop_timing(); }

void fill_with_noise(Context& context, Half* values, std::int64_t count) {
  if (count > 0) launch_noise(values, count, context.stream());
}

std::int64_t next_row_class(std::int64_t rows) { return row_class(row_class(rows) + 1); }

void widen_rows(Context& context, const std::byte* rows, std::int64_t count, const RowFormat& format,
                Half* out) {
  OPTPIPE_CHECK(is_quantized(format.format) && format.run > 0, "rows of {} values as {}", format.run,
                name_of(format.format));
  if (count > 0) launch_widen_rows(rows, count, format, out, context.stream());
}

void linear_f32(Context& context, const Half* x, std::int64_t x_stride, std::int64_t m, const Matrix& weight,
                float* out, std::int64_t out_stride) {
  run_pieces(context, x, x_stride, m, weight, nullptr, Epilogue::none, out, out_stride);
}

}  // namespace optpipe::kernels::cuda
