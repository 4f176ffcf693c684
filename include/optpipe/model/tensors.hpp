// The tensors of an OPT model: canonical names, shapes, and which group of the model each belongs to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "optpipe/base/ids.hpp"
#include "optpipe/model/config.hpp"

namespace optpipe::model {

// The role of a tensor inside its group. Weights of products are [out, in], row-major.
enum class Role : std::uint8_t {
  // embedding group
  token_embedding,     // [V, e]
  position_embedding,  // [positions + 2, h]
  project_in,          // [h, e], only where e != h
  // decoder layer
  q_weight,
  q_bias,
  k_weight,
  k_bias,
  v_weight,
  v_bias,
  o_weight,
  o_bias,  // [h, h], [h]
  attention_norm_weight,
  attention_norm_bias,  // [h]
  fc1_weight,
  fc1_bias,  // [f, h], [f]
  fc2_weight,
  fc2_bias,  // [h, f], [h]
  final_norm_weight,
  final_norm_bias,  // [h], of the layer
  // head group
  output_norm_weight,
  output_norm_bias,  // [h], decoder.final_layer_norm
  project_out,       // [e, h], only where e != h
  lm_head,           // [V, e]; decoder.embed_tokens where tied
  count
};

struct TensorSpec {
  Role role{};
  std::string name;       // canonical: the Hub's name without the prefix "model."
  std::int64_t rows = 0;  // 1 for vectors
  std::int64_t columns = 0;
  bool vector = false;  // stored with one dimension
};

// The tensors of each group, in the order in which a forward pass needs them.
std::vector<TensorSpec> embedding_tensors(const ModelConfig& config);
std::vector<TensorSpec> layer_tensors(const ModelConfig& config, LayerId layer);
std::vector<TensorSpec> head_tensors(const ModelConfig& config);

}  // namespace optpipe::model
