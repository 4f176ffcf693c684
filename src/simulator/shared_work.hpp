// Work under way that shares resources: how fast each piece of it is, and which ends next.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "optpipe/simulator/simulate.hpp"

namespace optpipe::simulator {

// All work of one domain. Time goes forward only.
class SharedWork {
 public:
  // Units taken of each resource are added to `used`, which like `resources` must outlive this.
  SharedWork(std::span<const Resource> resources, std::vector<double>& used)
      : resources_(resources), used_(used) {}

  // `ticket` comes back when the work is over.
  void add(double now_s, const Cost& cost, std::int64_t ticket);
  // When the first of the works under way ends, if nothing is added before.
  std::optional<double> next_end() const;
  // Takes out what is over at `now_s`, which is next_end().
  std::vector<std::int64_t> finish(double now_s);

 private:
  struct Work {
    double left_s;  // at full speed
    double speed;   // 1: as if alone
    Cost cost;
    std::int64_t ticket;
  };

  void advance(double now_s);
  void share_out();

  std::span<const Resource> resources_;
  std::vector<Work> works_;
  std::vector<double>& used_;
  double now_s_ = 0;
};

}  // namespace optpipe::simulator
