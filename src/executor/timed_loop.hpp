// Repeats something for a while and says how long one time took.
#pragma once

#include <chrono>

namespace optpipe::executor {

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Calls `once` until `seconds` have passed, at least twice; the first call warms up and does not count.
template <class Action>
double seconds_of(double seconds, Action once) {
  once();
  const double begin = seconds_now();
  int calls = 0;
  double passed = 0;
  do {
    once();
    ++calls;
    passed = seconds_now() - begin;
  } while (passed < seconds);
  return passed / calls;
}

}  // namespace optpipe::executor
