// Host memory that the GPU copies from: registered at its exact size, and where its binding says.
#include <gtest/gtest.h>

#include "executor/cuda/device.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::executor::cuda {
namespace {

class PinnedPagesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_devices() == 0)
      GTEST_SKIP() << "needs a GPU: run bash tests/run.sh --gpu on a machine that has one";
    use_device(0);
  }

  static std::shared_ptr<topology::Binding> bind() {
    auto topology = topology::Topology::live();
    const auto placements = topology::place_ranks(
        topology.machine(), {{topology.inherited_cpus(), topology::normalize_bus_id(gpu_name(0).pci_bus)}});
    auto binding = std::make_shared<topology::Binding>(std::move(topology), placements.at(0));
    binding->carry_out(topology::Pinning::ranks);
    return binding;
  }
};

bool is_registered(const std::byte* address) {
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, address), "cudaPointerGetAttributes");
  return attributes.type == cudaMemoryTypeHost;
}

TEST_F(PinnedPagesTest, AreRegisteredAtTheirExactSize) {
  PinnedPages pages(4, bind());
  // Neither a power of two nor whole huge pages: cudaHostAlloc would round these up.
  constexpr Bytes kPage = 4096;
  for (const Bytes bytes :
       {kPage, 5 * kPage, 3 * kMiB + 2 * kPage, 65 * kMiB + kPage, 300 * kMiB + 3 * kPage}) {
    std::byte* memory = pages.allocate(bytes, "a test");
    EXPECT_TRUE(is_registered(memory)) << bytes;
    EXPECT_TRUE(is_registered(memory + bytes - 1)) << bytes;
    EXPECT_FALSE(is_registered(memory - 1)) << bytes;
    EXPECT_FALSE(is_registered(memory + bytes)) << bytes;
    pages.release(memory, bytes);
    EXPECT_FALSE(is_registered(memory)) << bytes;
  }
}

TEST_F(PinnedPagesTest, LieOnTheNodeOfTheGpu) {
  const auto binding = bind();
  PinnedPages pages(4, binding);
  constexpr Bytes kBytes = 256 * kMiB;
  std::byte* memory = pages.allocate(kBytes, "a test");
  const auto status = binding->status();
  EXPECT_EQ(status.placed, kBytes);
  if (status.memory == topology::MemoryBinding::bound && status.preferred == 0) {
    EXPECT_GT(status.pages_seen, 0u);
    EXPECT_EQ(status.pages_at_home, status.pages_seen);
  }
  pages.release(memory, kBytes);
}

}  // namespace
}  // namespace optpipe::executor::cuda
