#include "optpipe/topology/index_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "optpipe/base/error.hpp"

namespace optpipe::topology {
namespace {

constexpr int kMost = 1 << 20;  // no machine has more of anything; keeps a typing error from filling memory

int parse_index(std::string_view text, std::string_view whole) {
  int index = -1;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (status != std::errc{} || end != text.data() + text.size() || index < 0 || index >= kMost)
    throw InputError(fmt::format("'{}' is no list of numbers and ranges such as 0-11,24-35", whole));
  return index;
}

}  // namespace

IndexSet::IndexSet(std::initializer_list<int> indices) : IndexSet(std::vector<int>(indices)) {}

IndexSet::IndexSet(std::vector<int> indices) : indices_(std::move(indices)) {
  std::ranges::sort(indices_);
  indices_.erase(std::unique(indices_.begin(), indices_.end()), indices_.end());
}

IndexSet IndexSet::parse(std::string_view text) {
  std::vector<int> indices;
  for (std::string_view rest = text; !rest.empty();) {
    const auto comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const auto dash = item.find('-');
    const int first = parse_index(item.substr(0, dash), text);
    const int last = dash == std::string_view::npos ? first : parse_index(item.substr(dash + 1), text);
    for (int index = first; index <= last; ++index) indices.push_back(index);
  }
  return IndexSet(std::move(indices));
}

std::string IndexSet::to_string() const {
  std::string text;
  for (auto i = indices_.begin(); i != indices_.end();) {
    auto last = i;
    while (std::next(last) != indices_.end() && *std::next(last) == *last + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ",", *i);
    if (last != i) text += fmt::format("-{}", *last);
    i = std::next(last);
  }
  return text;
}

bool IndexSet::contains(int index) const { return std::ranges::binary_search(indices_, index); }

IndexSet IndexSet::operator&(const IndexSet& other) const {
  IndexSet result;
  std::ranges::set_intersection(indices_, other.indices_, std::back_inserter(result.indices_));
  return result;
}

IndexSet IndexSet::operator-(const IndexSet& other) const {
  IndexSet result;
  std::ranges::set_difference(indices_, other.indices_, std::back_inserter(result.indices_));
  return result;
}

IndexSet& IndexSet::operator|=(const IndexSet& other) {
  std::vector<int> both;
  std::ranges::set_union(indices_, other.indices_, std::back_inserter(both));
  indices_ = std::move(both);
  return *this;
}

}  // namespace optpipe::topology
