// Operations on one GPU: fp16 storage, fp32 accumulation, the same results as cpu.hpp to within fp16
// rounding.
//
// Every function enqueues its work on the context's stream and returns. Memory that the device reads or
// writes may be reused by work enqueued on the same stream behind it, and by anyone else once an event
// recorded behind it has passed; arguments passed by value, spans and structs on the host may be reused as
// soon as the function returns. Nothing is allocated on the device after construction of the context, and
// nothing waits for the device, unless a function says so: all of it can be captured into a CUDA graph.
//
// Pointers are device pointers, of the device that was current when the context was made. Matrices are
// row-major. Where rows, strides and pointers are multiples of 16 bytes (8 elements), loads are wide and
// products run on the fast kernels; anything else works, more slowly: cut weights at multiples of 8 rows.
//
// Failed CUDA and cuBLAS calls and launches throw SystemError that names the call; arguments that make no
// sense are contract violations.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "optpipe/base/storage_format.hpp"
#include "optpipe/base/units.hpp"
#include "optpipe/kernels/cpu.hpp"  // Epilogue
#include "optpipe/kernels/sampling.hpp"

struct CUstream_st;

namespace optpipe::kernels::cuda {

using Stream = CUstream_st*;  // cudaStream_t
using Half = std::uint16_t;   // the bits of a binary16

// Devices that this process can use; 0 where there is no GPU or no driver. Does not throw.
int device_count() noexcept;

// What functions on one stream share: the cuBLASLt handle, its choice of algorithm for each shape seen, a
// workspace, and room for widened rows of quantized weights. Make one a stream, on the thread that has the
// stream's device current. A context serves one host thread at a time.
class Context {
 public:
  static constexpr Bytes kWorkspaceBytes = Bytes{32} << 20;

  // Room for quantized weights on their way to a product: a few thousand rows of a large model.
  static constexpr Bytes kWideningBytes = Bytes{64} << 20;

  // Allocates `workspace_bytes` of device memory (at least 1 MiB; products are slower with less than the
  // default) and `widening_bytes` (with none, weights cannot be quantized).
  explicit Context(Stream stream, Bytes workspace_bytes = kWorkspaceBytes, Bytes widening_bytes = 0);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Stream stream() const;
  Bytes workspace_bytes() const;

  struct Parts;
  Parts& parts() { return *parts_; }  // for the functions below
  const Parts& parts() const { return *parts_; }

 private:
  std::unique_ptr<Parts> parts_;
};

// Kilobytes, or a few megabytes, between device memory and registered host memory, in either direction: by
// the processors where they reach that memory, so that they need not wait until a copy engine is done with
// large copies of other streams. Addresses are multiples of 16 bytes, and memory up to the next one behind
// `bytes` is copied too.
void copy_small(Context& context, void* to, const void* from, Bytes bytes);
// The same on a stream other than the context's, by any thread.
void copy_small(const Context& context, Stream stream, void* to, const void* from, Bytes bytes);

// A matrix [rows, columns] of contiguous rows in up to three pieces, in row order. A piece of 0 rows is none.
struct Piece {
  const Half* data = nullptr;  // where rows are quantized, their bytes
  std::int64_t rows = 0;
};
struct Matrix {
  std::int64_t columns = 0;
  std::array<Piece, 3> pieces{};
  StorageFormat format = StorageFormat::native;
  std::int64_t part_of = 0;  // rows of the matrix that this is a part of; 0: of none

  RowFormat row_format() const { return {format, DType::f16, columns}; }
  std::int64_t rows() const { return pieces[0].rows + pieces[1].rows + pieces[2].rows; }
};

// Row counts fall into classes, whose largest members these are: products choose algorithms by class. The
// largest of the class behind that of `rows`.
std::int64_t next_row_class(std::int64_t rows);

// While one lives, at set-up, the products of a class of rows that are new to the context are timed with each
// algorithm that gives the same bits as any other, and the fastest is kept; without, the library's ranking
// decides. Such a product's results are written many times (beginning with others than those before, where it
// adds to them), and the device is waited for. `cold` is device memory of any content, to be read as weights
// in turn: where it is larger than caches, times are those of weights that come from memory.
class ProductTiming {
 public:
  ProductTiming(Context& context, std::span<const std::byte> cold);
  ~ProductTiming();
  ProductTiming(const ProductTiming&) = delete;
  ProductTiming& operator=(const ProductTiming&) = delete;

 private:
  Context& context_;
};
// Operands for it: numbers between -1/2 and 1/2.
void fill_with_noise(Context& context, Half* values, std::int64_t count);

// out[m, n] = epilogue(x[m, :] · weight[n, :] + bias[n]): x [m, k] with row stride `x_stride`, weight [n, k],
// bias [n] or null, out [m, n] with row stride `out_stride` (strides in elements). Epilogue::add: out +=
// product. out must not overlap x. A quantized weight is widened to fp16, so many rows at a time as the
// context has room for, and the product reads those.
//
// A row's results are the same bits whatever stands beside it and, where all rows and pieces begin and end at
// multiples of 16 bytes, however the weight is cut.
void linear(Context& context, const Half* x, std::int64_t x_stride, std::int64_t m, const Matrix& weight,
            const Half* bias, Epilogue epilogue, Half* out, std::int64_t out_stride);
// The same with an fp32 result and no epilogue or bias: logits.
void linear_f32(Context& context, const Half* x, std::int64_t x_stride, std::int64_t m, const Matrix& weight,
                float* out, std::int64_t out_stride);

// One of embed's two tables, and for each row of its output the row of the table; ids == nullptr: none. Ids
// outside the table are the caller's mistake (the row becomes NaN).
struct Lookup {
  Matrix table;                       // [table rows, h]
  const std::int32_t* ids = nullptr;  // [rows] in device memory
};
// out[row, :] = tokens.table[tokens.ids[row], :] + positions.table[positions.ids[row], :] (+ out[row, :] if
// `accumulate`), out [rows, h] contiguous. Position ids are rows of the table: position + 2 in OPT.
void embed(Context& context, const Lookup& tokens, const Lookup& positions, std::int64_t rows, std::int64_t h,
           bool accumulate, Half* out);

// out[i, :] = x[ids[i], :] for i < count, rows of h: the last row of each sequence, say. ids [count] in
// device memory. out must not overlap x.
void gather_rows(Context& context, const Half* x, const std::int32_t* ids, std::int64_t count, std::int64_t h,
                 Half* out);

// out[m, :] = (x - mean) / sqrt(variance + 1e-5) · weight + bias over rows of h, weight and bias [h] or null;
// out may be x.
void layer_norm(Context& context, const Half* x, std::int64_t m, std::int64_t h, const Half* weight,
                const Half* bias, Half* out);

// out[i, :] = the numbers of a quantized row, rounded to fp16: `count` rows of format.run values, contiguous.
void widen_rows(Context& context, const std::byte* rows, std::int64_t count, const RowFormat& format,
                Half* out);

// One segment of keys and values (some consecutive heads of one sequence, memory/kv_layout.hpp) in one call
// over a packed batch. Plain data: build an array of them in pinned host memory, upload it with
// cudaMemcpyAsync on the same stream; one array serves append_kv and attention.
struct KvTask {
  Half* keys = nullptr;        // [capacity, heads · dim], contiguous rows; of bytes where they are quantized
  Half* values = nullptr;      // the same
  std::int32_t first_row = 0;  // row of q, k, v and out that holds the sequence's first new position
  std::int32_t rows = 0;       // new positions: the prompt's in prefill, 1 in decode; 0: nothing to do
  std::int32_t position = 0;   // of the first of them; keys and values before it are in the segment already
  std::int32_t first_head = 0;  // columns of q, k, v and out: [first_head · dim, (first_head + heads) · dim)
  std::int32_t heads = 0;
  std::int32_t unused = 0;

  std::int32_t context() const { return position + rows; }
};
static_assert(std::is_trivially_copyable_v<KvTask> && sizeof(KvTask) == 40);

// Tasks in device memory, and bounds on them that shape the launches. Larger bounds than necessary change no
// result, so a captured graph may use those of its last step.
struct KvBatch {
  const KvTask* tasks = nullptr;
  std::int32_t count = 0;
  std::int32_t most_rows = 0, most_context = 0, most_heads = 0;  // of any task
  std::int32_t alignment = 1;  // of where every segment's keys and values begin: bytes, a power of two to 16
  StorageFormat format = StorageFormat::native;  // of all segments; a head is a run

  // Wide loads may read segments of heads of 8 · n: 16 bytes at a time, of codes 4.
  bool aligned() const { return alignment >= (is_quantized(format) ? 4 : 16); }
};
// `uploaded`: where `tasks` (host) are on the device, or will be when the batch is used.
KvBatch batch_of(std::span<const KvTask> tasks, const KvTask* uploaded);

// Copies new rows of k and v, both [rows, stride] of the packed batch with all heads, into their segments;
// quantizes them on the way where the segments are (kernels::quantize's bits).
void append_kv(Context& context, const KvBatch& batch, std::int64_t head_dim, const Half* k, const Half* v,
               std::int64_t stride);

// Where quantized keys and values go as halves: [rows of the packed batch, stride] each, with stride >= all
// heads · dim; a segment's rows follow each other.
struct WidenedKv {
  Half *keys = nullptr, *values = nullptr;
  std::int64_t stride = 0;
};
// Whether widen_prompts takes such a batch: whole groups, at multiples of 4 bytes.
bool can_widen_prompts(const KvBatch& batch, std::int64_t head_dim);
// The batch over halves, for attention_prefill on the same context before anything else runs there that uses
// the workspace. Every task begins at position 0.
KvBatch widen_prompts(Context& context, const KvBatch& batch, std::int64_t head_dim, const WidenedKv& to);

// What attention reads and writes beside the segments: q and out, [rows, stride] of the packed batch with all
// heads.
struct AttentionRows {
  const Half* q = nullptr;
  Half* out = nullptr;                        // must not overlap q
  std::int64_t q_stride = 0, out_stride = 0;  // in elements
  double sparsity = 1;  // of attention_decode: see AttentionTask::kept and kept_positions
};
// out = softmax(q · kᵀ · head_dim^-0.5) · v for each new row and head; a row attends to the positions of its
// segment up to its own. The segments hold the new rows already. Positions behind the context are not read.
// head_dim up to 256.
void attention_prefill(Context& context, const KvBatch& batch, std::int64_t head_dim,
                       const AttentionRows& rows);
// The same for tasks of at most one row each: reads keys and values once at the memory's speed, split over
// the context where tasks and heads are too few to fill the GPU.
void attention_decode(Context& context, const KvBatch& batch, std::int64_t head_dim,
                      const AttentionRows& rows);

// to[row, columns] = from[row, columns] for the row and the heads of each task, both [rows, stride], tasks of
// at most one row each. `from` may lie in registered host memory; then `staging` [rows, stride] on the device
// is what goes between where kernels cannot reach such memory.
void take_heads(Context& context, const KvBatch& batch, std::int64_t head_dim, const Half* from,
                Half* staging, Half* to, std::int64_t rows, std::int64_t stride);

// tokens[i] = the largest of logits[i, 0 .. vocabulary), the first if several are equal; NaN never wins.
// Logits [rows, stride]; tokens [rows] in device memory.
void argmax(Context& context, const float* logits, std::int64_t rows, std::int64_t vocabulary,
            std::int64_t stride, Token* tokens);

// Whose random number a row draws (sampling.hpp).
struct Draw {
  std::uint64_t sequence = 0, step = 0;
};
// Draws that the GPU leaves to the host.
inline constexpr Token kUndecided = -1;

// tokens[i] = the token that sample_token chooses on the CPU for logits[i] and draws[i], or kUndecided. The
// GPU adds probabilities in another order than the CPU; where a random number falls so close to the border of
// two tokens (1e-10 of the whole) that the order could matter, it does not decide. That happens about once in
// 10^5 draws; the host then calls settle. draws [rows] in device memory; options are valid.
void sample(Context& context, const float* logits, std::int64_t rows, std::int64_t vocabulary,
            std::int64_t stride, const SamplingOptions& options, const Draw* draws, Token* tokens);

// The CPU's choice for one row of logits on the device; waits for the stream.
Token settle(Context& context, const float* logits, std::int64_t vocabulary, const SamplingOptions& options,
             Draw draw);

}  // namespace optpipe::kernels::cuda
