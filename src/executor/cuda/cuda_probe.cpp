// Ceilings of a GPU, by the kernels and copies of the executor.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <random>

#include "executor/cuda/device.hpp"
#include "executor/timed_loop.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/executor/device_probe.hpp"
#include "optpipe/kernels/cuda.hpp"
#include "optpipe/memory/arena.hpp"

namespace optpipe::executor {
namespace cuda {
namespace {

namespace gpu = kernels::cuda;
using gpu::Half;

constexpr double kSeconds = 0.05;      // a measurement
constexpr std::int64_t kWidth = 8192;  // of the matrices: 128 MiB each
constexpr Bytes kMatrix = kWidth * kWidth * sizeof(Half);
constexpr Bytes kMemory = 4 * kGiB;       // on the device, far beyond its cache
constexpr Bytes kHostBlock = 256 * kMiB;  // of each way
constexpr std::int64_t kRows = 4096;      // of a prompt computed at once
constexpr std::int64_t kHeads = 32, kHeadDim = 128;

class CudaProbe final : public DeviceProbe {
 public:
  CudaProbe(int device, int threads)
      : device_(use(device)),
        pinned_(threads),
        memory_("measurements", kMemory + 3 * kRows * kWidth * sizeof(Half), gpu_),
        host_("measurements", 2 * kHostBlock, pinned_),
        data_(memory_.take(kMemory)),
        x_(memory_.take(kRows * kWidth * sizeof(Half))),
        out_(memory_.take(2 * kRows * kWidth * sizeof(Half))),
        in_(make_stream()),
        back_(make_stream()),
        context_(in_.get()) {
    for (auto& each : host_blocks_) each = host_.take(kHostBlock);
    fill();
  }

  simulator::Device rates() override {
    use_device(device_);
    simulator::Device device;
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, device_), "cudaGetDeviceProperties");
    device.name = properties.name;
    device.is_gpu = true;
    device.memory = properties.totalGlobalMem;
    measure_sustained(device);  // first: the GPU has rested
    for (const std::int64_t rows : {1, 8, 24, 48, 96, 192, 384, 1024})
      device.products.push_back({static_cast<double>(rows), product(rows)});
    device.products.push_back({static_cast<double>(kRows), burst_flops_s_});
    device.prompt_products = device.products;
    device.prompt_attention_flops_s = prompt_attention();
    device.attention_bytes_s = attention();
    device.memory_bytes_s = memory_copy();
    device.kernel_s = kernel();
    device.step_s = step(device.kernel_s);
    return device;
  }

  double copy_rate(Way way, double seconds) override {
    use_device(device_);
    const double begin = seconds_now();
    double bytes = 0;
    do {
      for (int i = 0; i < 4; ++i) {
        if (way != Way::out) copy(data_.data(), host_blocks_[0].data(), kHostBlock, in_.get());
        if (way != Way::in) copy(host_blocks_[1].data(), data_.data() + kHostBlock, kHostBlock, back_.get());
        bytes += static_cast<double>(kHostBlock) * (way == Way::both ? 2 : 1);
      }
      finish(in_.get());
      finish(back_.get());
    } while (seconds_now() - begin < seconds);
    return bytes / (seconds_now() - begin);
  }

  double small_copy_s() override {
    use_device(device_);
    constexpr int kCopies = 512;
    return seconds_on_stream(1,
                             [&](int) {
                               for (int i = 0; i < kCopies; ++i)
                                 copy(host_blocks_[1].data() + i * 16 * kKiB, data_.data() + i * 16 * kKiB,
                                      8 * kKiB, in_.get());
                             }) /
           kCopies;
  }

  void send(comm::DeviceLink& link, Bytes bytes) override {
    use_device(device_);
    link.send(data_.data(), bytes, back_.get());
  }
  void recv(comm::DeviceLink& link, Bytes bytes) override {
    use_device(device_);
    link.recv(out_.data(), bytes, in_.get());
  }

 private:
  static int use(int device) {
    use_device(device);
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    if (free < 6 * kGiB)
      throw CapacityError(
          fmt::format("GPU {} has {} free, but measuring it takes 6 GiB: end what else uses it", device,
                      format_bytes(free)));
    return device;
  }

  static void copy(void* to, const void* from, Bytes bytes, cudaStream_t stream) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "cudaMemcpyAsync");
  }
  static void finish(cudaStream_t stream) { check(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); }
  static Half* halves(std::span<std::byte> memory) { return reinterpret_cast<Half*>(memory.data()); }

  // Random fp16 numbers, since the power that products take depends on the data.
  void fill() {
    std::mt19937 engine(1);
    auto* values = reinterpret_cast<std::uint16_t*>(host_blocks_[0].data());
    for (Bytes i = 0; i < 8 * kMiB; ++i)
      values[i] = static_cast<std::uint16_t>(engine() & 0x83ffu) | 0x2400u;  // ±2^-6 .. 2^-5
    const auto fill_one = [&](std::span<std::byte> to) {
      for (Bytes at = 0; at < to.size(); at += 16 * kMiB)
        copy(to.data() + at, values, std::min(16 * kMiB, to.size() - at), in_.get());
    };
    for (const auto& memory : {data_, x_, out_}) fill_one(memory);
    finish(in_.get());
  }

  // Seconds of one call, `calls` of them between two events; the first `calls` warm up.
  double seconds_on_stream(int calls, const std::function<void(int)>& call) {
    const Event begin = make_timed_event(), end = make_timed_event();
    for (int i = 0; i < calls; ++i) call(i);
    check(cudaEventRecord(begin.get(), in_.get()), "cudaEventRecord");
    for (int i = 0; i < calls; ++i) call(i);
    check(cudaEventRecord(end.get(), in_.get()), "cudaEventRecord");
    finish(in_.get());
    return seconds_between(begin.get(), end.get()) / calls;
  }

  // Weights rotate through more than the cache holds.
  void enqueue_product(std::int64_t rows, int turn) {
    const Bytes at = static_cast<Bytes>(turn) * kMatrix % kMemory;
    const gpu::Matrix weight{.columns = kWidth, .pieces = {gpu::Piece{halves(data_.subspan(at)), kWidth}}};
    gpu::linear(context_, halves(x_), kWidth, rows, weight, nullptr, kernels::Epilogue::none, halves(out_),
                kWidth);
  }
  double product(std::int64_t rows) {
    const double product_s = seconds_on_stream(40, [&](int i) { enqueue_product(rows, i); });
    return 2.0 * static_cast<double>(rows * kWidth * kWidth) / product_s;
  }

  // How the rate of large products falls when they go on: slices of some 50 ms for 2.5 s.
  void measure_sustained(simulator::Device& device) {
    constexpr int kSlices = 50, kCalls = 60;
    constexpr double kFlops = 2.0 * kCalls * kRows * kWidth * kWidth;
    enqueue_product(kRows, 0);  // chooses its algorithm
    finish(in_.get());
    std::vector<Event> marks;
    const auto mark = [&] {
      marks.push_back(make_timed_event());
      check(cudaEventRecord(marks.back().get(), in_.get()), "cudaEventRecord");
    };
    mark();
    for (int slice = 0; slice < kSlices; ++slice) {
      for (int i = 0; i < kCalls; ++i) enqueue_product(kRows, i);
      mark();
    }
    finish(in_.get());
    std::vector<double> rates;
    for (int slice = 0; slice < kSlices; ++slice) {
      const auto i = static_cast<std::size_t>(slice);
      rates.push_back(kFlops / seconds_between(marks[i].get(), marks[i + 1].get()));
    }
    const auto mean = [&](int first, int last) {
      double sum = 0;
      for (int i = first; i < last; ++i) sum += 1 / rates[static_cast<std::size_t>(i)];
      return (last - first) / sum;
    };
    burst_flops_s_ = mean(0, 4);
    const double in_the_end = mean(kSlices / 2, kSlices);
    device.sustained = std::min(1.0, in_the_end / burst_flops_s_);
    const auto fallen =
        std::ranges::find_if(rates, [&](double rate) { return rate < (burst_flops_s_ + in_the_end) / 2; });
    device.burst_s =
        seconds_between(marks[0].get(), marks[static_cast<std::size_t>(fallen - rates.begin())].get());
  }

  gpu::KvBatch upload(std::vector<gpu::KvTask>& tasks, std::int64_t sequences, std::int64_t context,
                      std::int64_t rows, Bytes at) {
    const Bytes array = static_cast<Bytes>(context * kHeads * kHeadDim) * sizeof(Half);
    tasks.clear();
    for (std::int64_t s = 0; s < sequences; ++s, at += 2 * array)
      tasks.push_back({.keys = halves(data_.subspan(at % (kMemory / 2))),
                       .values = halves(data_.subspan(at % (kMemory / 2) + array)),
                       .first_row = static_cast<std::int32_t>(s * rows),
                       .rows = static_cast<std::int32_t>(rows),
                       .position = static_cast<std::int32_t>(context - rows),
                       .first_head = 0,
                       .heads = kHeads});
    const Bytes size = tasks.size() * sizeof(gpu::KvTask);
    auto* there = data_.data() + kMemory - 64 * kKiB * (1 + upload_turn_++ % 8);
    std::memcpy(host_blocks_[0].data(), tasks.data(), size);
    copy(there, host_blocks_[0].data(), size, in_.get());
    finish(in_.get());
    return gpu::batch_of(tasks, reinterpret_cast<const gpu::KvTask*>(there));
  }
  gpu::AttentionRows attention_rows() {
    return {halves(x_), halves(out_), kHeads * kHeadDim, kHeads * kHeadDim};
  }

  double prompt_attention() {
    constexpr std::int64_t kSequences = 16, kContext = 512;
    std::vector<gpu::KvTask> tasks;
    const auto batch = upload(tasks, kSequences, kContext, kContext, 0);
    const double attention_s = seconds_on_stream(
        20, [&](int) { gpu::attention_prefill(context_, batch, kHeadDim, attention_rows()); });
    return 2.0 * kSequences * kHeads * kHeadDim * kContext * kContext / attention_s;
  }

  double attention() {
    constexpr std::int64_t kSequences = 48, kContext = 512;
    constexpr Bytes kBatch = 4 * kSequences * kContext * kHeads * kHeadDim;  // 384 MiB
    std::vector<gpu::KvTask> tasks;
    const std::array batches{upload(tasks, kSequences, kContext, 1, 0),
                             upload(tasks, kSequences, kContext, 1, kBatch)};
    const double attention_s = seconds_on_stream(20, [&](int i) {
      gpu::attention_decode(context_, batches[static_cast<std::size_t>(i % 2)], kHeadDim, attention_rows());
    });
    return static_cast<double>(kBatch) / attention_s;
  }

  double memory_copy() {
    const double copy_s = seconds_on_stream(
        10, [&](int) { copy(data_.data(), data_.data() + kMemory / 2, kMemory / 2, in_.get()); });
    return static_cast<double>(kMemory) / copy_s;
  }

  double kernel() {
    return seconds_on_stream(1000, [&](int) {
      gpu::layer_norm(context_, halves(x_), 1, kWidth, halves(data_), halves(data_), halves(out_));
    });
  }

  // What surrounds the kernels of a step: events with their times, a wait for another queue, task lists.
  double step(double kernel_s) {
    constexpr int kKernels = 6;
    std::array<Event, 8> begins, ends;
    for (auto& each : begins) each = make_timed_event();
    for (auto& each : ends) each = make_timed_event();
    const Event other = make_event();
    const double step_s = seconds_on_stream(200, [&](int i) {
      const auto turn = static_cast<std::size_t>(i) % begins.size();
      check(cudaEventRecord(other.get(), back_.get()), "cudaEventRecord");
      check(cudaStreamWaitEvent(in_.get(), other.get(), 0), "cudaStreamWaitEvent");
      check(cudaEventRecord(begins[turn].get(), in_.get()), "cudaEventRecord");
      gpu::copy_small(context_, out_.data(), host_blocks_[0].data(), 4 * kKiB);
      for (int k = 0; k < kKernels; ++k)
        gpu::layer_norm(context_, halves(x_), 1, kWidth, halves(data_), halves(data_), halves(out_));
      check(cudaEventRecord(ends[turn].get(), in_.get()), "cudaEventRecord");
    });
    return std::max(0.0, step_s - kKernels * kernel_s);
  }

  int device_;
  DeviceMemory gpu_;
  PinnedPages pinned_;
  memory::Arena memory_, host_;
  std::span<std::byte> data_, x_, out_;
  std::array<std::span<std::byte>, 2> host_blocks_;
  Stream in_, back_;
  gpu::Context context_;
  double burst_flops_s_ = 0;
  Bytes upload_turn_ = 0;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<DeviceProbe> make_cuda_probe(int device, int threads) {
  return std::make_unique<cuda::CudaProbe>(device, threads);
}

}  // namespace optpipe::executor
