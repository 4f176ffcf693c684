// Runs optpipe as a user would: one process, or several under mpirun.
#pragma once

#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/process.hpp"

namespace optpipe::test {

using Words = std::vector<std::string>;

Words operator+(Words words, const Words& more);

// "optpipe" with these words on one thread and without a GPU; with several ranks under mpirun. `environment`
// comes on top.
struct Launch {
  int ranks = 1;
  std::string input{};
  Words environment{};
  int seconds = 60;
  Words wrapper{};  // a command that starts the program
};
Finished run_optpipe(const Words& words, const Launch& launch = {});
std::string program();  // its path
Words mpi_may_leak();   // environment for processes that start MPI: no check for leaks under a sanitizer

// {"generate", "--model", the bundled model, words ...}.
Words generate(const Words& words);
// {"bench", "--model", the bundled model, words ...}, on the CPU.
Words bench(const Words& words);
// Six numbers.
Words percent(const std::string& six);

std::filesystem::path bundled_model();
std::filesystem::path source_file(const std::string& name);  // of the repository
const nlohmann::json& bundled_golden();                      // what transformers makes of the bundled model

// JSON values, one a line.
std::vector<nlohmann::json> json_lines(const std::string& text);
std::string to_lines(const std::vector<nlohmann::json>& values);

// Lines that optpipe itself logged; mpirun adds its own.
Words log_lines(const std::string& err);
Words error_lines(const std::string& err);

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& text);

// A folder that goes away with the object.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// `status`, nothing on stdout, one line of error that holds all of `parts`, and nothing else in the log.
void expect_refused(const Finished& finished, int status, const Words& parts);

}  // namespace optpipe::test
