// Architecture of an OPT model, as its config.json states it (never guessed from its name).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "optpipe/base/dtype.hpp"

namespace optpipe::model {

enum class Activation : std::uint8_t { relu, gelu };  // gelu: the exact one, x·Φ(x)

struct ModelConfig {
  std::string name;         // for messages
  std::int64_t layers = 0;  // L
  std::int64_t hidden = 0;  // h
  std::int64_t heads = 0;
  std::int64_t ffn = 0;         // f, width of the feed-forward block
  std::int64_t vocabulary = 0;  // V, rows of the embedding
  std::int64_t positions = 0;   // longest sequence; the position table has 2 rows more
  std::int64_t embedding = 0;   // e, width of word embeddings; differs from h only with project_in/out
  std::int64_t bos_token = 2;
  std::vector<std::int64_t> eos_tokens{2};  // any of them ends a sequence
  std::int64_t pad_token = 1;
  Activation activation = Activation::relu;
  bool pre_norm = true;      // layer norm before the block (350m: after it)
  bool final_norm = true;    // decoder.final_layer_norm exists
  bool bias = true;          // products carry a bias (norms do so whenever they have weights)
  bool norm_affine = true;   // norms have learned weight and bias
  bool tied_head = true;     // the LM head is the word embedding
  DType dtype = DType::f16;  // what config.json announces; the tensors decide

  std::int64_t head_dim() const { return hidden / heads; }
  bool has_projection() const { return embedding != hidden; }
};

inline constexpr std::int64_t kPositionOffset = 2;  // position p is row p + 2 of the position table

// Reads DIR/config.json. Throws InputError if it is missing, is not an OPT, or states impossible sizes.
ModelConfig load_config(const std::filesystem::path& directory);

// The public OPT sizes by name, with or without the organisation: "facebook/opt-30b", "opt-125m".
// Throws UsageError that lists the names where there is no such size.
ModelConfig config_of_size(std::string_view name);

}  // namespace optpipe::model
