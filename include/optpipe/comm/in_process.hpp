// Ranks as threads of one process: for tests of everything that takes several ranks.
#pragma once

#include <memory>

#include "optpipe/comm/transport.hpp"

namespace optpipe::comm {

class InProcessWorld {
 public:
  explicit InProcessWorld(int ranks, Seconds timeout = Seconds(60));
  ~InProcessWorld();

  // The end of one rank; it must not outlive the world.
  std::unique_ptr<Transport> endpoint(Rank rank);

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace optpipe::comm
