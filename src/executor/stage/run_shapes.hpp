// Which runs of decode steps are so much alike that what was made of one of them (a CUDA graph) serves the
// others.
//
// A sequence that ends takes a row from its batch. So that this changes nothing, rows are padded to the most
// of a class: rows of nobody, with empty tasks. A row's results are the same bits whatever stands beside it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace optpipe::executor {

// Rows of a batch with padding: the most of their class, but no more than `most` if there are no more
// already. `next_class`: the most of the class behind that of a number of rows; one row is a class.
template <class NextClass>
std::int64_t padded_rows(std::int64_t rows, std::int64_t most, NextClass next_class) {
  std::int64_t of_class = 1;
  while (of_class < rows) of_class = next_class(of_class);
  return std::max(rows, std::min(of_class, most));
}

// What cannot change from one run to another that share a graph, a number for each step and property.
using RunShape = std::vector<std::array<std::int64_t, 8>>;

// What was made for the shapes that came last in one place. `Made` is movable and has an empty state.
template <class Made>
class RecentShapes {
 public:
  // A batch whose sequences end one by one passes a few classes of rows, and one that is refilled comes back
  // to the largest of them. Not more: a graph holds device memory of its own.
  static constexpr std::size_t kMost = 4;

  // What was made for the shape, to be filled by the caller where it is empty. Null if the shape has not come
  // lately: it is remembered from now on, and the one that has not come for longest is forgotten.
  Made* find(const RunShape& shape) {
    const auto at = std::ranges::find_if(entries_, [&](const Entry& entry) { return entry.shape == shape; });
    if (at != entries_.end()) {
      std::rotate(entries_.begin(), at, at + 1);
      return &entries_.front().made;
    }
    if (entries_.size() == kMost) entries_.pop_back();
    entries_.insert(entries_.begin(), Entry{shape, {}});
    return nullptr;
  }

 private:
  struct Entry {
    RunShape shape;
    Made made;
  };
  std::vector<Entry> entries_;  // the newest first
};

}  // namespace optpipe::executor
