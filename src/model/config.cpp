#include "optpipe/model/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "optpipe/base/error.hpp"

namespace optpipe::model {
namespace {

using Json = nlohmann::json;

// One config.json: typed access with messages that name the file and the key.
class ConfigFile {
 public:
  explicit ConfigFile(const std::filesystem::path& path) : path_(path) {
    std::ifstream file(path);
    if (!file)
      throw InputError(
          fmt::format("cannot open {}: a checkpoint folder as the Hub ships it holds config.json; check "
                      "--model (and --path, if the weights lie elsewhere)",
                      path.string()));
    json_ = Json::parse(file, nullptr, false);
    if (!json_.is_object()) fail("it is not a JSON object; fetch the file again");
  }

  std::int64_t size(const char* key, std::int64_t fallback, std::int64_t most) const {
    const auto value = integer(key, fallback);
    if (value < 1 || value > most) fail(fmt::format("\"{}\" is {}, outside 1..{}", key, value, most));
    return value;
  }
  std::int64_t integer(const char* key, std::int64_t fallback) const {
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) return fallback;
    if (!found->is_number_integer()) fail(fmt::format("\"{}\" should be a whole number", key));
    return found->get<std::int64_t>();
  }
  bool flag(const char* key, bool fallback) const {
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) return fallback;
    if (!found->is_boolean()) fail(fmt::format("\"{}\" should be true or false", key));
    return found->get<bool>();
  }
  std::string text(const char* key, const std::string& fallback) const {
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) return fallback;
    if (!found->is_string()) fail(fmt::format("\"{}\" should be a string", key));
    return found->get<std::string>();
  }
  std::vector<std::int64_t> integers(const char* key, std::int64_t fallback) const {
    const auto found = json_.find(key);
    if (found == json_.end() || !found->is_array()) return {integer(key, fallback)};
    std::vector<std::int64_t> values;
    for (const auto& item : *found) {
      if (!item.is_number_integer()) fail(fmt::format("\"{}\" should hold whole numbers", key));
      values.push_back(item.get<std::int64_t>());
    }
    return values;
  }
  [[noreturn]] void fail(const std::string& why) const {
    throw InputError(fmt::format("{} cannot be used: {}", path_.string(), why));
  }

 private:
  std::filesystem::path path_;
  Json json_;
};

DType announced_dtype(const ConfigFile& file) {
  const auto name = file.text("torch_dtype", file.text("dtype", "float16"));
  if (name == "float32") return DType::f32;
  if (name == "bfloat16") return DType::bf16;
  return DType::f16;
}

Activation activation(const ConfigFile& file) {
  const auto name = file.text("activation_function", "relu");
  if (name == "relu") return Activation::relu;
  if (name == "gelu") return Activation::gelu;
  file.fail(fmt::format("activation_function \"{}\" is not supported (relu and gelu are)", name));
}

}  // namespace

ModelConfig load_config(const std::filesystem::path& directory) {
  const ConfigFile file(directory / "config.json");
  if (const auto type = file.text("model_type", "opt"); type != "opt")
    file.fail(fmt::format("model_type is \"{}\"; optpipe runs OPT models", type));
  ModelConfig c;
  const auto directory_name =
      directory.filename().empty() ? directory.parent_path().filename() : directory.filename();
  c.name = file.text("_name_or_path", directory_name.string());
  c.layers = file.size("num_hidden_layers", 12, 10'000);
  c.hidden = file.size("hidden_size", 768, 1 << 20);
  c.heads = file.size("num_attention_heads", 12, 1 << 16);
  c.ffn = file.size("ffn_dim", 3072, 1 << 22);
  c.vocabulary = file.size("vocab_size", 50272, 1 << 26);
  c.positions = file.size("max_position_embeddings", 2048, 1 << 26);
  c.embedding = file.size("word_embed_proj_dim", c.hidden, 1 << 20);
  c.bos_token = file.integer("bos_token_id", 2);
  c.eos_tokens = file.integers("eos_token_id", 2);
  c.pad_token = file.integer("pad_token_id", 1);
  c.activation = activation(file);
  c.pre_norm = file.flag("do_layer_norm_before", true);
  c.final_norm = c.pre_norm && !file.flag("_remove_final_layer_norm", false);
  c.bias = file.flag("enable_bias", true);
  c.norm_affine = file.flag("layer_norm_elementwise_affine", true);
  c.tied_head = file.flag("tie_word_embeddings", true);
  c.dtype = announced_dtype(file);
  if (c.hidden % c.heads != 0)
    file.fail(fmt::format("hidden_size {} is not a multiple of num_attention_heads {}", c.hidden, c.heads));
  return c;
}

ModelConfig config_of_size(std::string_view name) {
  struct Size {
    std::string_view name;
    std::int64_t layers, hidden, heads;
  };
  static constexpr std::array<Size, 9> kSizes{{{"opt-125m", 12, 768, 12},
                                               {"opt-350m", 24, 1024, 16},
                                               {"opt-1.3b", 24, 2048, 32},
                                               {"opt-2.7b", 32, 2560, 32},
                                               {"opt-6.7b", 32, 4096, 32},
                                               {"opt-13b", 40, 5120, 40},
                                               {"opt-30b", 48, 7168, 56},
                                               {"opt-66b", 64, 9216, 72},
                                               {"opt-175b", 96, 12288, 96}}};
  const auto slash = name.rfind('/');
  const auto plain = slash == std::string_view::npos ? name : name.substr(slash + 1);
  for (const auto& size : kSizes) {
    if (size.name != plain) continue;
    ModelConfig c;
    c.name = name;
    c.layers = size.layers;
    c.hidden = size.hidden;
    c.heads = size.heads;
    c.ffn = 4 * size.hidden;
    c.vocabulary = 50272;
    c.positions = 2048;
    c.embedding = plain == "opt-350m" ? 512 : size.hidden;
    c.pre_norm = c.final_norm = plain != "opt-350m";
    return c;
  }
  std::vector<std::string_view> names;
  for (const auto& size : kSizes) names.push_back(size.name);
  throw UsageError(fmt::format("'{}' is neither a checkpoint folder nor a known size; known sizes: {}", name,
                               fmt::join(names, ", ")));
}

}  // namespace optpipe::model
