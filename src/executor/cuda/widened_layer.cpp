#include "executor/cuda/widened_layer.hpp"

#include <algorithm>

namespace optpipe::executor::cuda {

namespace gpu = kernels::cuda;
using model::Role;

namespace {

constexpr std::array kRoles{Role::q_weight, Role::k_weight,   Role::v_weight,
                            Role::o_weight, Role::fc1_weight, Role::fc2_weight};

std::int64_t values_of(const model::ModelConfig& config, Role role) {
  const bool wide = role == Role::fc1_weight || role == Role::fc2_weight;
  return config.hidden * (wide ? config.ffn : config.hidden);
}

}  // namespace

WidenedLayer::WidenedLayer(const model::ModelConfig& config, Bytes bytes, memory::MemoryResource& device,
                           gpu::Context& context)
    : context_(context), arena_("a layer's weights as halves", bytes, device) {
  static_assert(kRoles.size() == kMatrices);
  if (bytes == 0) return;
  auto* place = reinterpret_cast<gpu::Half*>(arena_.take(bytes).data());
  for (std::size_t i = 0; i < kMatrices; ++i) {
    places_[i] = place;
    place += values_of(config, kRoles[i]);
  }
}

gpu::Matrix WidenedLayer::matrix(std::size_t group, Role role, const gpu::Matrix& found) {
  const auto* const at = std::ranges::find(kRoles, role);
  if (arena_.capacity() == 0 || !is_quantized(found.format) || at == kRoles.end()) return found;
  const auto index = static_cast<std::size_t>(at - kRoles.begin());
  if (groups_[index] != group) {
    gpu::Half* to = places_[index];
    for (const gpu::Piece& piece : found.pieces) {
      gpu::widen_rows(context_, reinterpret_cast<const std::byte*>(piece.data), piece.rows,
                      found.row_format(), to);
      to += piece.rows * found.columns;
    }
    groups_[index] = group;
  }
  gpu::Matrix widened{found.columns, {}, StorageFormat::native, found.part_of};
  widened.pieces[0] = {places_[index], found.rows()};
  return widened;
}

}  // namespace optpipe::executor::cuda
