#include "executor/stage/step_recorder.hpp"

namespace optpipe::executor {

void StepRecorder::begin() {
  begin_ = Clock::now();
  for (Lane& lane : lanes_) lane.times.clear();
}

std::vector<schedule::StepTime> StepRecorder::take() {
  std::vector<schedule::StepTime> all;
  for (Lane& lane : lanes_) {
    all.insert(all.end(), lane.times.begin(), lane.times.end());
    lane.times.clear();
  }
  return all;
}

}  // namespace optpipe::executor
