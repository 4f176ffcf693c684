// A checkpoint that was quantized beforehand gives the tokens of one that is quantized as it is read.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

const Words kPrompts{"--prompt", "Paris is the capital city of", "The currency of Japan is"};

TEST(Quantize, GivesTheSameTokensAsQuantizingAtTheStart) {
  const Folder folder;
  for (const std::string format : {"4bit", "8bit"}) {
    const auto output = folder / format;
    const auto written = run_optpipe(
        {"quantize", "--model", bundled_model().string(), "--output", output, "--weight-format", format});
    ASSERT_EQ(written.status, 0) << written.err;
    EXPECT_LT(std::filesystem::file_size(output + "/model.safetensors"),
              std::filesystem::file_size(bundled_model() / "model.safetensors"));
    const auto expected = run_optpipe(generate(kPrompts + Words{"--weight-format", format}));
    const Words from_folder = Words{"generate", "--model", output} + kPrompts;
    EXPECT_EQ(run_optpipe(from_folder).out, expected.out);
    EXPECT_EQ(run_optpipe(from_folder + Words{"--weight-format", format}).out, expected.out);
    EXPECT_EQ(run_optpipe(from_folder + percent("10 30 100 0 100 0")).out, expected.out);
    EXPECT_EQ(expected.status, 0) << expected.err;
  }
}

// What is reported and planned is what is kept, not what was asked for.
TEST(Quantize, ReportsAndPlansNameTheFormatOfTheWeights) {
  const Folder folder;
  const auto output = folder / "new", report = folder / "report.json";
  ASSERT_EQ(run_optpipe({"quantize", "--model", bundled_model().string(), "--output", output}).status, 0);
  const Words bench{"bench", "--model",          output, "--prompt-len", "8", "--gen-len",
                    "2",     "--gpu-batch-size", "1",    "--no-log"};
  const auto ran = run_optpipe(bench + Words{"--json", report});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(nlohmann::json::parse(read_file(report))["input"]["weight_format"], "4bit");
  const Words plan{"plan", "--machine", "h100", "--model"},
      rest{"--prompt-len", "8", "--gen-len", "2", "--gpu-batch-size", "1"};
  const auto own = run_optpipe(plan + Words{output} + rest);
  ASSERT_EQ(own.status, 0) << own.err;
  EXPECT_EQ(
      own.out,
      run_optpipe(plan + Words{bundled_model().string()} + rest + Words{"--weight-format", "4bit"}).out);
  EXPECT_NE(own.out, run_optpipe(plan + Words{bundled_model().string()} + rest).out);
}

TEST(Quantize, RefusesWhatItCannotDo) {
  const Folder folder;
  const auto model = bundled_model().string(), output = folder / "new";
  expect_refused(run_optpipe({"quantize", "--model", model}), 2, {"--output is missing"});
  expect_refused(run_optpipe({"quantize", "--output", output}), 2, {"--model is missing"});
  expect_refused(run_optpipe({"quantize", "--model", folder / "none", "--output", output}), 4,
                 {"no such folder"});
  expect_refused(run_optpipe({"quantize", "--model", model, "--output", model}), 4, {"already"});
  expect_refused(run_optpipe({"quantize", "--model", model, "--output", "/proc/none"}), 4, {"/proc/none"});
  ASSERT_EQ(run_optpipe({"quantize", "--model", model, "--output", output}).status, 0);
  expect_refused(run_optpipe({"quantize", "--model", output, "--output", folder / "again"}), 4,
                 {"is quantized already (4bit)"});
}

// Sizes of what says of itself that it is quantized are checked before anything is read.
TEST(Quantize, DamagedDescriptionsAreRefused) {
  const Folder folder;
  const auto output = folder / "new", file = output + "/model.safetensors";
  ASSERT_EQ(run_optpipe({"quantize", "--model", bundled_model().string(), "--output", output}).status, 0);
  const auto sound = read_file(file);
  const auto damage = [&](const std::string& from, const std::string& to) {
    auto text = sound;
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    ASSERT_EQ(from.size(), to.size());
    write_file(file, text.replace(at, from.size(), to));
    expect_refused(run_optpipe({"generate", "--model", output, "--prompt", "x"}), 4, {"quantized as"});
  };
  damage("\"4bit 192 fp16\"", "\"4bit 193 fp16\"");
  damage("\"4bit 192 fp16\"", "\"8bit 192 fp16\"");
  damage("\"4bit 192 fp16\"", "\"5bit 192 fp16\"");
  damage("\"4bit 192 fp16\"", "\"4bit -19 fp16\"");
  damage("\"4bit 192 fp16\"", "\"4bit 192 fp17\"");
}

}  // namespace
}  // namespace optpipe::test
