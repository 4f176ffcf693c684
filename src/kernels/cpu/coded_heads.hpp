// Attention of one query over 4- and 8-bit keys and values by integer products, for cores with AVX-512 VNNI.
//
// Widening codes costs more instructions than memory leaves time for. Here a code is never widened: a
// product of 64 of them is one instruction a digit, where the other factor is a number of three signed
// 8-bit digits (of 2^16, 2^8 and 1). A query's head is rounded to 2^-22 of its largest element, weights to
// 2^-22 of the largest of kWeightBlock positions, so results are as near to exact ones as with fp32; integer
// sums are exact, and all else is a fixed sequence of operations of a query, so that any way to cut the work
// gives the same bits. These bits are not those of kernels that widen: one machine takes one way for all.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/scratch.hpp"
#include "optpipe/base/storage_format.hpp"

namespace optpipe::kernels {

inline constexpr std::int64_t kMostCodedGroups = 8;  // of a head
inline constexpr std::int64_t kMostCodedRuns = 128;  // groups of all heads of a unit (attention_plan.cpp)

// Some consecutive heads of quantized rows; all groups are whole.
struct CodedHeads {
  const std::byte* data = nullptr;  // rows [positions]
  Bytes row_bytes = 0;
  Bytes codes_at = 0, pairs_at = 0;    // of the first head, in a row
  std::int64_t heads = 0, groups = 0;  // groups of a head
  StorageFormat format = StorageFormat::q4;

  bool can_be_coded() const { return groups <= kMostCodedGroups && heads * groups <= kMostCodedRuns; }
  const std::byte* row(std::int64_t position) const {
    return data + static_cast<Bytes>(position) * row_bytes;
  }
};

inline constexpr std::int64_t kWeightBlock = 32;  // positions that share the unit of their weights

// True where this machine's cores have the instructions and no test has forbidden them.
bool has_integer_products();
void forbid_integer_products(bool forbidden);  // for tests of the other way

// Floats of aligned scratch that each of the functions takes.
std::int64_t coded_scores_scratch();
std::int64_t coded_sums_scratch();

// scores[head, p] = q[head] · key p for p < count; q [heads, q_pitch]. `values`: rows like the keys', which
// are read next. False, and nothing done, where a number of q is not finite.
bool coded_scores(const CodedHeads& keys, const std::byte* values, const float* q, std::int64_t q_pitch,
                  std::int64_t count, float* scores, std::int64_t scores_pitch, float* scratch);

// out[head, 0 .. dim) = sum over p < count of weights[head, p] · value p; heads of out lie side by side.
// Weights are not negative.
void coded_sums(const CodedHeads& values, const float* weights, std::int64_t weights_pitch,
                std::int64_t count, float* out, float* scratch);

}  // namespace optpipe::kernels
