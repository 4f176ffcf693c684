// All work of a decoder layer can be captured into a CUDA graph and replayed on other data.
#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::Halves;
using testing::require;
using GraphCapture = testing::OnGpu;

TEST_F(GraphCapture, ReplaysOnNewData) {
  constexpr std::int64_t kTokens = 3, kHidden = 128, kDim = 64, kCapacity = 200, kVocabulary = 512;
  const Halves weight(random, kHidden * kHidden, 0.1f), head(random, kVocabulary * kHidden),
      cache(random, kTokens * 2 * kCapacity * kHidden);
  const auto device_weight = weight.upload(), device_head = head.upload(), device_cache = cache.upload();
  const auto rows = [] { return Array<Half>::filled(kTokens * kHidden, testing::kPoison); };
  const auto x = rows(), normed = rows(), q = rows(), out = rows();
  const auto logits = Array<float>::filled(kTokens * kVocabulary, 0);
  const auto tokens = Array<Token>::filled(kTokens, -1);
  std::vector<KvTask> tasks;
  for (std::int32_t i = 0; i < kTokens; ++i)
    tasks.push_back({device_cache.at(2 * i * kCapacity * kHidden),
                     device_cache.at((2 * i + 1) * kCapacity * kHidden), i, 1, 50 * i, 0, 2, 0});
  const Array<KvTask> device_tasks(tasks);
  KvBatch batch = batch_of(tasks, device_tasks.get());
  batch.most_context = kCapacity;  // the bound of all replays

  const Matrix square{.columns = kHidden, .pieces = {Piece{device_weight.get(), kHidden}}};
  const Matrix wide{.columns = kHidden, .pieces = {Piece{device_head.get(), kVocabulary}}};
  const auto work = [&] {
    layer_norm(context(), x.get(), kTokens, kHidden, nullptr, nullptr, normed.get());
    linear(context(), normed.get(), kHidden, kTokens, square, nullptr, Epilogue::none, q.get(), kHidden);
    append_kv(context(), batch, kDim, q.get(), q.get(), kHidden);
    attention_decode(context(), batch, kDim, {q.get(), out.get(), kHidden, kHidden});
    linear(context(), out.get(), kHidden, kTokens, square, nullptr, Epilogue::add, x.get(), kHidden);
    linear_f32(context(), x.get(), kHidden, kTokens, wide, logits.get(), kVocabulary);
    argmax(context(), logits.get(), kTokens, kVocabulary, kVocabulary, tokens.get());
  };
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  require(cudaStreamBeginCapture(context().stream(), cudaStreamCaptureModeThreadLocal));
  work();
  require(cudaStreamEndCapture(context().stream(), &graph));
  require(cudaGraphInstantiate(&replay, graph, 0));

  for (int step = 0; step < 3; ++step) {
    for (KvTask& task : tasks) task.position += 17;
    require(
        cudaMemcpy(device_tasks.get(), tasks.data(), tasks.size() * sizeof(KvTask), cudaMemcpyHostToDevice));
    const Halves input(random, kTokens * kHidden);
    const auto load = [&] {
      require(
          cudaMemcpy(x.get(), input.bits.data(), input.bits.size() * sizeof(Half), cudaMemcpyHostToDevice));
    };
    load();
    require(cudaGraphLaunch(replay, context().stream()));
    const auto replayed = x.values();
    const auto replayed_tokens = tokens.values();
    load();
    work();
    EXPECT_EQ(replayed, x.values()) << "step " << step;
    EXPECT_EQ(replayed_tokens, tokens.values());
    EXPECT_NE(replayed, input.bits);
  }
  require(cudaGraphExecDestroy(replay));
  require(cudaGraphDestroy(graph));
}

}  // namespace
}  // namespace optpipe::kernels::cuda
