// Sets of CPUs or NUMA nodes, by the operating system's numbers.
#pragma once

#include <compare>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace optpipe::topology {

class IndexSet {
 public:
  IndexSet() = default;
  IndexSet(std::initializer_list<int> indices);
  explicit IndexSet(std::vector<int> indices);  // in any order

  // "0-11,24-35", as /proc and numactl write them; "" is the empty set. Throws InputError for anything else.
  static IndexSet parse(std::string_view text);
  std::string to_string() const;

  bool empty() const { return indices_.empty(); }
  std::size_t size() const { return indices_.size(); }
  bool contains(int index) const;
  bool overlaps(const IndexSet& other) const { return !(*this & other).empty(); }
  int first() const { return indices_.front(); }
  auto begin() const { return indices_.begin(); }
  auto end() const { return indices_.end(); }

  IndexSet operator&(const IndexSet& other) const;
  IndexSet operator-(const IndexSet& other) const;
  IndexSet& operator|=(const IndexSet& other);
  auto operator<=>(const IndexSet&) const = default;

 private:
  std::vector<int> indices_;  // rising
};

}  // namespace optpipe::topology
