// Runs a command as a user would, for tests of the whole program.
#pragma once

#include <string>
#include <vector>

namespace optpipe::test {

// A sanitizer takes memory of its own in every process, and several times as long.
constexpr bool kSanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    true;
#else
    false;
#endif

struct Finished {
  int status = -1;  // exit status; 128 + signal where one ended it
  std::string out, err;
};

// Runs the program with `arguments`, `input` on its standard input, `environment` ("NAME=value") added to the
// present one. Ends it after `seconds` and reports 124 then.
Finished run_process(const std::vector<std::string>& arguments, const std::string& input = "",
                     const std::vector<std::string>& environment = {}, int seconds = 60);

}  // namespace optpipe::test
