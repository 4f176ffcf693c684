#include <cmath>
#include <numeric>

#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::Halves;

class Rows : public testing::OnGpu {
 protected:
  static constexpr std::int64_t kRows = 7;
  const std::vector<std::int32_t> tokens{0, 99, 41, 40, 3, 3, 60}, positions{2, 3, 4, 29, 2, 10, 11};

  // The sum of two or three halves, rounded once.
  static Half sum(float a, float b, float c = 0) { return float_to_half(a + b + c); }
};

TEST_F(Rows, EmbedAddsRowsOfTablesInPieces) {
  for (const std::int64_t h : {8, 192, 203, 2048}) {
    const Halves token_table(random, 100 * h), position_table(random, 30 * h), before(random, kRows * h);
    const Array<Half> first(std::span(token_table.bits).first(static_cast<std::size_t>(41 * h))),
        rest(std::span(token_table.bits).subspan(static_cast<std::size_t>(41 * h)));
    const auto device_positions = position_table.upload();
    const Array<std::int32_t> token_ids(tokens), position_ids(positions);
    const Lookup by_token{{.columns = h, .pieces = {Piece{first.get(), 41}, Piece{}, Piece{rest.get(), 59}}},
                          token_ids.get()};
    const Lookup by_position{{.columns = h, .pieces = {Piece{device_positions.get(), 30}}},
                             position_ids.get()};
    for (const bool accumulate : {false, true}) {
      const auto out = accumulate ? before.upload() : Array<Half>::filled(kRows * h, testing::kPoison);
      embed(context(), by_token, by_position, kRows, h, accumulate, out.get());
      const auto result = out.values();
      for (std::int64_t row = 0; row < kRows; ++row) {
        for (std::int64_t i = 0; i < h; ++i) {
          const auto r = static_cast<std::size_t>(row);
          const float token = token_table.values[static_cast<std::size_t>(tokens[r] * h + i)];
          const float position = position_table.values[static_cast<std::size_t>(positions[r] * h + i)];
          const auto at = static_cast<std::size_t>(row * h + i);
          ASSERT_EQ(result[at], sum(token, position, accumulate ? before.values[at] : 0))
              << "h " << h << " row " << row << " column " << i;
        }
      }
    }
  }
}

// Where a table lies changes no bit.
TEST_F(Rows, EmbedReadsTablesInPinnedMemory) {
  for (const std::int64_t h : {203, 2048}) {
    const Halves token_table(random, 100 * h), position_table(random, 30 * h);
    const auto on_device = token_table.upload(), positions_on_device = position_table.upload();
    const Array<std::int32_t> token_ids(tokens), position_ids(positions);
    void *pinned = nullptr, *there = nullptr;
    testing::require(cudaMallocHost(&pinned, token_table.bits.size() * sizeof(Half)));
    std::memcpy(pinned, token_table.bits.data(), token_table.bits.size() * sizeof(Half));
    testing::require(cudaHostGetDevicePointer(&there, pinned, 0));
    const auto embedded = [&](const Half* table) {
      const auto out = Array<Half>::filled(kRows * h, testing::kPoison);
      embed(context(), {{.columns = h, .pieces = {Piece{table, 100}}}, token_ids.get()},
            {{.columns = h, .pieces = {Piece{positions_on_device.get(), 30}}}, position_ids.get()}, kRows, h,
            false, out.get());
      return out.values();
    };
    EXPECT_EQ(embedded(static_cast<const Half*>(there)), embedded(on_device.get())) << h;
    testing::require(cudaFreeHost(pinned));
  }
}

TEST_F(Rows, SmallCopiesReachPinnedMemoryInBothDirections) {
  for (const std::size_t count : {1, 4, 33, 5000, 70001}) {  // words of 4 bytes
    std::vector<std::int32_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 17);
    const std::size_t bytes = count * sizeof(std::int32_t), room = (bytes + 15) / 16 * 16;
    void* pinned = nullptr;
    testing::require(cudaMallocHost(&pinned, room));
    const auto there = Array<std::int32_t>::filled(static_cast<std::int64_t>(room / 4), -1);
    std::memcpy(pinned, numbers.data(), bytes);
    copy_small(context(), there.get(), pinned, bytes);
    auto values = there.values();
    values.resize(count);
    EXPECT_EQ(values, numbers);
    std::memset(pinned, 0xee, room);
    copy_small(context(), pinned, there.get(), bytes);
    testing::require(cudaDeviceSynchronize());
    EXPECT_EQ(std::memcmp(pinned, numbers.data(), bytes), 0);
    testing::require(cudaFreeHost(pinned));
  }
}

TEST_F(Rows, IdsOutsideTheTableGiveNaN) {
  const Halves table(random, 10 * 16);
  const auto device_table = table.upload();
  const Array<std::int32_t> ids(std::vector<std::int32_t>{9, 10, -1});
  const auto out = Array<Half>::filled(3 * 16, 0);
  embed(context(), {{.columns = 16, .pieces = {Piece{device_table.get(), 10}}}, ids.get()}, {}, 3, 16, false,
        out.get());
  const auto result = testing::widen(out.values());
  EXPECT_EQ(result[0], table.values[9 * 16]);
  for (std::size_t i = 16; i < 48; ++i) EXPECT_TRUE(std::isnan(result[i])) << i;
}

TEST_F(Rows, GatherPicksRows) {
  for (const std::int64_t h : {24, 25}) {
    const Halves x(random, 70 * h);
    const auto device_x = x.upload();
    const Array<std::int32_t> ids(std::vector<std::int32_t>{69, 0, 13});
    const auto out = Array<Half>::filled(3 * h, testing::kPoison);
    gather_rows(context(), device_x.get(), ids.get(), 3, h, out.get());
    const auto result = out.values();
    const std::int64_t rows[] = {69, 0, 13};
    for (std::int64_t r = 0; r < 3; ++r)
      for (std::int64_t i = 0; i < h; ++i)
        ASSERT_EQ(result[static_cast<std::size_t>(r * h + i)],
                  x.bits[static_cast<std::size_t>(rows[r] * h + i)]);
  }
}

}  // namespace
}  // namespace optpipe::kernels::cuda
