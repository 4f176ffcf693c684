// Broken checkpoints: status 4 and one line that names the file or tensor.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A copy of the bundled model that tests may break.
class BrokenModel : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const auto& entry : fs::directory_iterator(bundled_model()))
      fs::copy_file(entry.path(), folder_.path() / entry.path().filename());
  }

  void edit_config(const std::string& key, const json& value) {
    auto config = json::parse(read_file(folder_ / "config.json"));
    config[key] = value;
    write_file(folder_ / "config.json", config.dump());
  }

  void expect_refused_with(const Words& parts) {
    const Words words{"generate", "--model", folder_.path(), "--prompt", "x"};
    expect_refused(run_optpipe(words), 4, parts);
  }

  Folder folder_;
};

TEST(Checkpoint, NoFolder) {
  expect_refused(run_optpipe({"generate", "--model", "/no/such/model", "--prompt", "x"}), 4,
                 {"--model /no/such/model", "no such folder"});
  expect_refused(run_optpipe({"generate", "--model", std::string(5000, 'x'), "--prompt", "x"}), 4,
                 {"no such folder"});
  expect_refused(run_optpipe(generate({"--prompt", "x", "--path", "/no/such/weights"})), 4,
                 {"/no/such/weights"});
}

TEST_F(BrokenModel, NoConfig) {
  fs::remove(folder_ / "config.json");
  expect_refused_with({"config.json"});
}

TEST_F(BrokenModel, ConfigIsNotJson) {
  write_file(folder_ / "config.json", "{");
  expect_refused_with({"config.json"});
}

TEST_F(BrokenModel, ConfigOfAnotherModel) {
  edit_config("model_type", "gpt2");
  expect_refused_with({"config.json", "gpt2"});
}

TEST_F(BrokenModel, NoWeights) {
  fs::remove(folder_ / "model.safetensors");
  expect_refused_with({folder_.path()});
}

TEST_F(BrokenModel, TruncatedWeights) {
  fs::resize_file(folder_ / "model.safetensors", fs::file_size(folder_ / "model.safetensors") - 1);
  expect_refused_with({"model.safetensors"});
}

TEST_F(BrokenModel, EmptyWeights) {
  fs::resize_file(folder_ / "model.safetensors", 0);
  expect_refused_with({"model.safetensors"});
}

TEST_F(BrokenModel, TensorOfAnotherShape) {
  edit_config("ffn_dim", 1024);
  expect_refused_with({"fc1", "768", "1024"});
}

TEST_F(BrokenModel, MissingLayer) {
  edit_config("num_hidden_layers", 9);
  expect_refused_with({"layers.8."});
}

TEST_F(BrokenModel, MissingTensor) {
  std::string weights = read_file(folder_ / "model.safetensors");
  const std::string name = "layers.3.fc2.weight";
  weights[weights.find(name) + 7] = '9';
  write_file(folder_ / "model.safetensors", weights);
  expect_refused_with({name});
}

TEST_F(BrokenModel, BrokenVocabulary) {
  write_file(folder_ / "vocab.json", "[]");
  expect_refused_with({"vocab.json"});
}

TEST_F(BrokenModel, NoMerges) {
  fs::remove(folder_ / "merges.txt");
  expect_refused_with({"merges.txt"});
}

}  // namespace
}  // namespace optpipe::test
