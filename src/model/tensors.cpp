#include "optpipe/model/tensors.hpp"

#include <fmt/format.h>

namespace optpipe::model {
namespace {

class SpecList {
 public:
  explicit SpecList(std::string prefix) : prefix_(std::move(prefix)) {}

  void matrix(Role role, const std::string& name, std::int64_t rows, std::int64_t columns) {
    specs.push_back({role, prefix_ + name, rows, columns, false});
  }
  void vector(bool present, Role role, const std::string& name, std::int64_t size) {
    if (present) specs.push_back({role, prefix_ + name, 1, size, true});
  }

  std::vector<TensorSpec> specs;

 private:
  std::string prefix_;
};

}  // namespace

std::vector<TensorSpec> embedding_tensors(const ModelConfig& c) {
  SpecList list("decoder.");
  list.matrix(Role::token_embedding, "embed_tokens.weight", c.vocabulary, c.embedding);
  list.matrix(Role::position_embedding, "embed_positions.weight", c.positions + kPositionOffset, c.hidden);
  if (c.has_projection()) list.matrix(Role::project_in, "project_in.weight", c.hidden, c.embedding);
  return list.specs;
}

std::vector<TensorSpec> layer_tensors(const ModelConfig& c, LayerId layer) {
  SpecList list(fmt::format("decoder.layers.{}.", layer.value));
  list.vector(c.norm_affine, Role::attention_norm_weight, "self_attn_layer_norm.weight", c.hidden);
  list.vector(c.norm_affine, Role::attention_norm_bias, "self_attn_layer_norm.bias", c.hidden);
  // q, k and v side by side, so that one product can compute all three wherever the group is cut.
  list.matrix(Role::q_weight, "self_attn.q_proj.weight", c.hidden, c.hidden);
  list.matrix(Role::k_weight, "self_attn.k_proj.weight", c.hidden, c.hidden);
  list.matrix(Role::v_weight, "self_attn.v_proj.weight", c.hidden, c.hidden);
  list.vector(c.bias, Role::q_bias, "self_attn.q_proj.bias", c.hidden);
  list.vector(c.bias, Role::k_bias, "self_attn.k_proj.bias", c.hidden);
  list.vector(c.bias, Role::v_bias, "self_attn.v_proj.bias", c.hidden);
  list.matrix(Role::o_weight, "self_attn.out_proj.weight", c.hidden, c.hidden);
  list.vector(c.bias, Role::o_bias, "self_attn.out_proj.bias", c.hidden);
  list.vector(c.norm_affine, Role::final_norm_weight, "final_layer_norm.weight", c.hidden);
  list.vector(c.norm_affine, Role::final_norm_bias, "final_layer_norm.bias", c.hidden);
  list.matrix(Role::fc1_weight, "fc1.weight", c.ffn, c.hidden);
  list.vector(c.bias, Role::fc1_bias, "fc1.bias", c.ffn);
  list.matrix(Role::fc2_weight, "fc2.weight", c.hidden, c.ffn);
  list.vector(c.bias, Role::fc2_bias, "fc2.bias", c.hidden);
  return list.specs;
}

std::vector<TensorSpec> head_tensors(const ModelConfig& c) {
  SpecList list("decoder.");
  list.vector(c.final_norm && c.norm_affine, Role::output_norm_weight, "final_layer_norm.weight", c.hidden);
  list.vector(c.final_norm && c.norm_affine, Role::output_norm_bias, "final_layer_norm.bias", c.hidden);
  if (c.has_projection()) list.matrix(Role::project_out, "project_out.weight", c.embedding, c.hidden);
  list.specs.push_back({Role::lm_head, c.tied_head ? "decoder.embed_tokens.weight" : "lm_head.weight",
                        c.vocabulary, c.embedding, false});
  return list.specs;
}

}  // namespace optpipe::model
