// Runs a command as a user would, for tests of the whole program.
#pragma once

#include <string>
#include <vector>

namespace optpipe::test {

struct Finished {
  int status = -1;  // exit status; 128 + signal where one ended it
  std::string out, err;
};

// Runs the program with `arguments`, `input` on its standard input, `environment` ("NAME=value") added to the
// present one. Ends it after `seconds` and reports 124 then.
Finished run_process(const std::vector<std::string>& arguments, const std::string& input = "",
                     const std::vector<std::string>& environment = {}, int seconds = 60);

}  // namespace optpipe::test
