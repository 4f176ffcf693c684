#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"
#include "kernels/cuda/vectors.cuh"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kTile = 16;

__device__ float read(const float* from) { return *from; }
__device__ float read(const Half* from) { return to_float(*from); }
__device__ void write(float* to, float value) { *to = value; }
__device__ void write(Half* to, float value) { *to = to_half(value); }

// One result a thread; tiles of x and weight pass through shared memory.
template <class Out>
__global__ void plain_product(Product p) {
  __shared__ float x_tile[kTile][kTile + 1], weight_tile[kTile][kTile + 1];
  const std::int64_t row = std::int64_t{blockIdx.y} * kTile + threadIdx.y;
  const std::int64_t first_column = std::int64_t{blockIdx.x} * kTile;
  const std::int64_t column = first_column + threadIdx.x, weight_row = first_column + threadIdx.y;
  float sum = 0;
  for (std::int64_t k = 0; k < p.k; k += kTile) {
    const std::int64_t i = k + threadIdx.x;
    x_tile[threadIdx.y][threadIdx.x] = row < p.m && i < p.k ? to_float(p.x[row * p.x_stride + i]) : 0;
    weight_tile[threadIdx.y][threadIdx.x] =
        weight_row < p.n && i < p.k ? to_float(p.weight[weight_row * p.k + i]) : 0;
    __syncthreads();
    for (int j = 0; j < kTile; ++j) sum += x_tile[threadIdx.y][j] * weight_tile[threadIdx.x][j];
    __syncthreads();
  }
  if (row >= p.m || column >= p.n) return;
  Out* out = static_cast<Out*>(p.out) + row * p.out_stride + column;
  write(out, p.add ? read(out) + sum : sum);
}

unsigned tiles(std::int64_t count) { return static_cast<unsigned>((count + kTile - 1) / kTile); }

}  // namespace

void launch_plain_product(const Product& product, Stream stream) {
  constexpr std::int64_t kRows = 65535 * kTile;  // of a grid
  const std::int64_t element = product.wide ? sizeof(float) : sizeof(Half);
  for (std::int64_t row = 0; row < product.m; row += kRows) {
    Product part = product;
    part.m = product.m - row < kRows ? product.m - row : kRows;
    part.x += row * product.x_stride;
    part.out = static_cast<std::byte*>(product.out) + row * product.out_stride * element;
    const dim3 grid(tiles(part.n), tiles(part.m));
    if (product.wide)
      plain_product<float><<<grid, dim3(kTile, kTile), 0, stream>>>(part);
    else
      plain_product<Half><<<grid, dim3(kTile, kTile), 0, stream>>>(part);
    check_launch("plain_product");
  }
}

}  // namespace optpipe::kernels::cuda
