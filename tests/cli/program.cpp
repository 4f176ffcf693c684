#include "cli/program.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace optpipe::test {
namespace fs = std::filesystem;

Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// What MPI keeps at its end is not the program's, and comes from plugins that are unloaded by then, so that
// no suppression can name them. One rank leaves MPI alone and is checked.
Words mpi_may_leak() { return {"ASAN_OPTIONS=detect_leaks=0:exitcode=99"}; }

Finished run_optpipe(const Words& words, const Launch& launch) {
  // No GPU in sight: these tests are about the CPU executor everywhere.
  const Words environment = Words{"OMP_NUM_THREADS=1", "CUDA_VISIBLE_DEVICES="} + launch.environment;
  if (launch.ranks == 1)
    return run_process(launch.wrapper + Words{OPTPIPE_PROGRAM} + words, launch.input, environment,
                       launch.seconds);
  const Words mpirun{"bash", "-c",
                     "source " OPTPIPE_SOURCE
                     "/launch/mpi-flags.sh && "
                     "exec " OPTPIPE_MPIEXEC " \"${mpirun_flags[@]}\" -n \"$@\"",
                     "mpirun"};
  return run_process(
      mpirun + Words{std::to_string(launch.ranks)} + launch.wrapper + Words{OPTPIPE_PROGRAM} + words,
      launch.input, environment + mpi_may_leak(), launch.seconds);
}

std::string program() { return OPTPIPE_PROGRAM; }

Words generate(const Words& words) { return Words{"generate", "--model", bundled_model().string()} + words; }

Words percent(const std::string& six) {
  Words words{"--percent"};
  std::istringstream numbers(six);
  for (std::string number; numbers >> number;) words.push_back(number);
  return words;
}

Words bench(const Words& words) {
  return Words{"bench", "--model", bundled_model(), "--device", "cpu"} + words;
}

fs::path source_file(const std::string& name) { return fs::path(OPTPIPE_SOURCE) / name; }
fs::path bundled_model() { return fs::path(OPTPIPE_SOURCE) / "models/tiny-opt"; }

const nlohmann::json& bundled_golden() {
  static const auto golden =
      nlohmann::json::parse(read_file(fs::path(OPTPIPE_SOURCE) / "tests/data/golden/tiny-opt.json"));
  return golden;
}

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) values.push_back(nlohmann::json::parse(line));
  return values;
}

std::string to_lines(const std::vector<nlohmann::json>& values) {
  std::string text;
  for (const auto& value : values) text += value.dump() + '\n';
  return text;
}

namespace {

Words lines_with(const std::string& text, const std::string& start) {
  Words found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(start)) found.push_back(line);
  return found;
}

}  // namespace

Words log_lines(const std::string& err) { return lines_with(err, "optpipe: "); }
Words error_lines(const std::string& err) { return lines_with(err, "optpipe: error: "); }

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

Folder::Folder() {
  std::string name = (fs::temp_directory_path() / "optpipe-cli-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void expect_refused(const Finished& finished, int status, const Words& parts) {
  EXPECT_EQ(finished.status, status) << finished.err;
  EXPECT_EQ(finished.out, "");
  ASSERT_EQ(error_lines(finished.err).size(), 1u) << finished.err;
  EXPECT_EQ(log_lines(finished.err).size(), 1u) << finished.err;
  for (const auto& part : parts) EXPECT_THAT(error_lines(finished.err)[0], ::testing::HasSubstr(part));
}

}  // namespace optpipe::test
