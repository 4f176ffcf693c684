#include "model/checkpoint/names.hpp"

#include <algorithm>
#include <array>

namespace optpipe::model {
namespace {

constexpr std::string_view kModel = "model.", kDecoder = "decoder.";
constexpr std::array<std::string_view, 6> kDecoderMembers{
    "layers.", "embed_tokens.", "embed_positions.", "final_layer_norm.", "project_in.", "project_out."};

}  // namespace

std::string canonical_name(std::string_view stored) {
  if (stored.starts_with(kModel)) stored.remove_prefix(kModel.size());
  const bool member = std::any_of(kDecoderMembers.begin(), kDecoderMembers.end(),
                                  [&](std::string_view prefix) { return stored.starts_with(prefix); });
  return member ? std::string(kDecoder).append(stored) : std::string(stored);
}

std::string canonical_name_of_npy(std::string_view file_name) {
  constexpr std::string_view kFlexGen = "decoder.layer_norm.";
  auto name = canonical_name(file_name);
  if (name.starts_with(kFlexGen)) name.replace(0, kFlexGen.size(), "decoder.final_layer_norm.");
  return name;
}

bool is_opt_tensor(std::string_view canonical) {
  return canonical.starts_with(kDecoder) || canonical == "lm_head.weight";
}

}  // namespace optpipe::model
