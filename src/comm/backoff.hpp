// Polling that burns no core which other ranks may share: a short spin, then yields, then sleeps.
#pragma once

#include <chrono>
#include <thread>

namespace optpipe::comm {

class Backoff {
 public:
  void pause() {
    ++rounds_;
    if (rounds_ < 64) return;
    if (rounds_ < 256)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(rounds_ < 4096 ? 20 : 200));
  }

 private:
  int rounds_ = 0;
};

}  // namespace optpipe::comm
