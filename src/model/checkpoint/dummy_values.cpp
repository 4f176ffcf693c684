#include "model/checkpoint/dummy_values.hpp"

#include <bit>
#include <cmath>
#include <cstring>

#include "optpipe/base/check.hpp"

namespace optpipe::model {
namespace {

constexpr int kTableBits = 12;
constexpr int kTableSize = 1 << kTableBits;
constexpr std::int64_t kLanes = 4;  // elements per hash
constexpr int kLaneBits = 16;

// The finalizer of SplitMix64, a bijection: different keys and counters cannot collapse.
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

std::uint64_t hash_of_group(std::uint64_t key, std::uint64_t group) {
  return mix(key + group * 0x9e3779b97f4a7c15U);
}

std::size_t index_of_lane(std::uint64_t hash, std::int64_t lane) {
  return (hash >> (lane * kLaneBits + kLaneBits - kTableBits)) & (kTableSize - 1);
}

template <class Element>
std::byte* put(const Element* table, std::uint64_t hash, std::int64_t lane, std::byte* out) {
  std::memcpy(out, table + index_of_lane(hash, lane), sizeof(Element));  // `out` may be at any address
  return out + sizeof(Element);
}

template <class Element>
void fill_elements(const std::vector<Element>& table, std::uint64_t key, std::int64_t first,
                   std::int64_t count, std::byte* out) {
  const auto* values = table.data();
  const auto hash_at = [&](std::int64_t i) {
    return hash_of_group(key, static_cast<std::uint64_t>(i / kLanes));
  };
  const auto end = first + count;
  auto i = first;
  for (; i < end && i % kLanes != 0; ++i) out = put(values, hash_at(i), i % kLanes, out);
  for (; end - i >= kLanes; i += kLanes) {
    const auto hash = hash_at(i);
    out = put(values, hash, 0, out);  // written out: compilers leave the loop a loop
    out = put(values, hash, 1, out);
    out = put(values, hash, 2, out);
    out = put(values, hash, 3, out);
  }
  for (; i < end; ++i) out = put(values, hash_at(i), i % kLanes, out);
}

}  // namespace

DummyDistribution::DummyDistribution(double centre, double deviation, DType dtype) : dtype_(dtype) {
  const double spread = deviation * std::sqrt(3.0);  // of a uniform distribution, to either side
  for (int i = 0; i < kTableSize; ++i) {
    const double unit = (2.0 * i + 1.0 - kTableSize) / kTableSize;
    const auto value = static_cast<float>(centre + spread * unit);
    if (dtype == DType::f32)
      floats_.push_back(std::bit_cast<std::uint32_t>(value));
    else
      halves_.push_back(dtype == DType::f16 ? float_to_half(value) : float_to_bfloat16(value));
  }
}

void DummyDistribution::fill(std::uint64_t key, std::int64_t first, std::int64_t count,
                             std::span<std::byte> out) const {
  OPTPIPE_CHECK(out.size() == static_cast<std::size_t>(count) * size_of(dtype_), "{} elements to {} bytes",
                count, out.size());
  if (dtype_ == DType::f32)
    fill_elements(floats_, key, first, count, out.data());
  else
    fill_elements(halves_, key, first, count, out.data());
}

std::uint64_t dummy_key(std::uint64_t seed, std::string_view tensor) {
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
  for (const char c : tensor) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return mix(hash ^ mix(seed));
}

}  // namespace optpipe::model
