// Machines that the program knows: docs/machines/*.json, compiled in.
#pragma once

#include <string>
#include <vector>

namespace optpipe::simulator {

struct KnownMachine {
  std::string name;  // of the file, without its extension
  std::string text;
};
const std::vector<KnownMachine>& all_known_machines();

}  // namespace optpipe::simulator
