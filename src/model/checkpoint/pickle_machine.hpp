// Reads pickles without executing anything: what a pickle would call is recorded, not called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace optpipe::model::pickle {

enum class Kind : std::uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  tuple,
  list,
  dict,
  global,
  call,
  persistent
};

// Values may be shared, and dicts and lists may contain themselves: never walk them to an unbounded depth.
struct Value {
  Kind kind = Kind::none;
  std::int64_t integer = 0;  // integer, boolean
  std::string_view text;     // text; global: "module"
  std::string_view name;     // global: "name"
  std::vector<Value*>
      items;  // tuple, list; dict: key, value, key, ...; call: callee, arguments; persistent: its id
};

// Whether a pickle may mention module.name. Only mention: nothing is imported or called.
using MayMention = bool (*)(std::string_view module, std::string_view name);

class Pickle {
 public:
  // Interprets `bytes`. Throws InputError, which names `source`, for opcodes beyond those that state dicts of
  // torch need (protocols 2 to 5), for globals other than collections.OrderedDict that `may_mention` refuses,
  // for malformed pickles, and for pickles beyond limits of size and depth.
  Pickle(std::vector<std::byte> bytes, std::string source, MayMention may_mention);

  const Value& root() const { return *root_; }

 private:
  std::vector<std::byte> bytes_;  // the texts of values point into it
  std::deque<Value> values_;
  const Value* root_ = nullptr;
};

}  // namespace optpipe::model::pickle
