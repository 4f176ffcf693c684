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

template <class Out>
void run_pieces(Context& context, const Half* x, std::int64_t x_stride, std::int64_t m, const Matrix& weight,
                const Half* bias, Epilogue epilogue, Out* out, std::int64_t out_stride) {
  OPTPIPE_CHECK(weight.columns > 0 && x_stride >= weight.columns, "rows of {} with stride {}", weight.columns,
                x_stride);
  OPTPIPE_CHECK(out_stride >= weight.rows(), "{} results with stride {}", weight.rows(), out_stride);
  if (m == 0) return;
  std::int64_t column = 0;
  for (const Piece& piece : weight.pieces) {
    if (piece.rows == 0) continue;
    run_product(context.parts(),
                {.m = m,
                 .n = piece.rows,
                 .k = weight.columns,
                 .x_stride = x_stride,
                 .out_stride = out_stride,
                 .x = x,
                 .weight = piece.data,
                 .bias = bias ? bias + column : nullptr,
                 .wide = sizeof(Out) == sizeof(float),
                 .out = out + column},
                epilogue);
    column += piece.rows;
  }
}

}  // namespace

void linear(Context& context, const Half* x, std::int64_t x_stride, std::int64_t m, const Matrix& weight,
            const Half* bias, Epilogue epilogue, Half* out, std::int64_t out_stride) {
  run_pieces(context, x, x_stride, m, weight, bias, epilogue, out, out_stride);
}

void linear_f32(Context& context, const Half* x, std::int64_t x_stride, std::int64_t m, const Matrix& weight,
                float* out, std::int64_t out_stride) {
  run_pieces(context, x, x_stride, m, weight, nullptr, Epilogue::none, out, out_stride);
}

}  // namespace optpipe::kernels::cuda
