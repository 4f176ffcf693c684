// Blocks of positions of quantized rows: a head's work on a block keeps its factors in the first-level cache.
#pragma once

#include <cstring>

#include "kernels/cpu/coded_heads.hpp"
#include "kernels/cpu/vnni.hpp"

#ifdef OPTPIPE_VNNI
namespace optpipe::kernels::vnni {

inline constexpr std::int64_t kBlock = kWeightBlock;       // positions
inline constexpr std::int64_t kQuad = 4;                   // positions at a time
inline constexpr std::int64_t kParts = kBlock / kLanes;    // vectors with a lane a position
using BlockPairs = std::uint32_t[kMostCodedRuns][kBlock];  // (minimum, scale) of each group and position

constexpr std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// What is read next, asked for in the order of memory, some lines at a time while the cores work on what is
// there: the order that the cores' own prefetchers know best, whatever the order of work.
class Coming {
 public:
  // `rows` from position `first` on, over so many turns.
  Coming(const CodedHeads& rows, std::int64_t first, std::int64_t positions, std::int64_t turns)
      : codes_(rows.row(first) + rows.codes_at),
        pairs_(rows.row(first) + rows.pairs_at),
        row_bytes_(static_cast<std::int64_t>(rows.row_bytes)),
        code_bytes_(rows.heads * rows.groups *
                        static_cast<std::int64_t>(code_bytes(rows.format, kGroupValues)) +
                    kLine - 1),
        pair_bytes_(rows.heads * rows.groups * static_cast<std::int64_t>(kGroupPairBytes) + kLine - 1),
        rows_left_(positions),
        lines_a_turn_((positions * (code_bytes_ / kLine) + turns - 1) / turns) {}

  OPTPIPE_VNNI_INLINE void fetch() {
    for (std::int64_t i = 0; i < lines_a_turn_ && rows_left_ > 0; ++i) {
      fetch_line(codes_ + at_);
      at_ += kLine;
      if (at_ < code_bytes_) continue;
      for (std::int64_t pair = 0; pair < pair_bytes_; pair += kLine) fetch_line(pairs_ + pair);
      codes_ += row_bytes_;
      pairs_ += row_bytes_;
      at_ = 0;
      --rows_left_;
    }
  }

 private:
  static constexpr std::int64_t kLine = 64;

  const std::byte *codes_, *pairs_;
  std::int64_t row_bytes_, code_bytes_, pair_bytes_, rows_left_, lines_a_turn_, at_ = 0;
};

// pairs[run, t] = that of position t, for four runs and four positions: a transposition.
OPTPIPE_VNNI_INLINE void transpose_pairs(const std::byte* from, std::int64_t row_bytes,
                                         std::uint32_t (*pairs)[kBlock], std::int64_t t) {
  __m128 rows[4];
  for (std::int64_t i = 0; i < 4; ++i)
    rows[i] = _mm_loadu_ps(reinterpret_cast<const float*>(from + i * row_bytes));
  const __m128 low01 = _mm_unpacklo_ps(rows[0], rows[1]), high01 = _mm_unpackhi_ps(rows[0], rows[1]);
  const __m128 low23 = _mm_unpacklo_ps(rows[2], rows[3]), high23 = _mm_unpackhi_ps(rows[2], rows[3]);
  const __m128 columns[4] = {_mm_movelh_ps(low01, low23), _mm_movehl_ps(low23, low01),
                             _mm_movelh_ps(high01, high23), _mm_movehl_ps(high23, high01)};
  for (std::int64_t i = 0; i < 4; ++i) _mm_storeu_ps(reinterpret_cast<float*>(pairs[i] + t), columns[i]);
}

// Of `count` positions, zeros behind them.
OPTPIPE_VNNI_INLINE void gather_pairs(const CodedHeads& values, std::int64_t first, std::int64_t count,
                                      BlockPairs& pairs) {
  const std::int64_t runs = values.heads * values.groups;
  const auto row_bytes = static_cast<std::int64_t>(values.row_bytes);
  const std::byte* from = values.row(first) + values.pairs_at;
  for (std::int64_t t = 0; t < kBlock; t += kQuad, from += kQuad * row_bytes) {
    std::int64_t run = 0;
    if (t + kQuad <= count) {
      for (; run + 4 <= runs; run += 4) transpose_pairs(from + 4 * run, row_bytes, pairs + run, t);
    }
    for (; run < runs; ++run)
      for (std::int64_t i = 0; i < kQuad; ++i) {
        pairs[run][t + i] = 0;
        if (t + i < count) std::memcpy(&pairs[run][t + i], from + 4 * run + i * row_bytes, sizeof **pairs);
      }
  }
}

// The minima and the scales of kLanes positions of a group.
OPTPIPE_VNNI_INLINE __m512 minima_of(__m512i pairs) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pairs)); }
OPTPIPE_VNNI_INLINE __m512 scales_of(__m512i pairs) {
  return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(pairs, 16)));
}

}  // namespace optpipe::kernels::vnni
#endif
