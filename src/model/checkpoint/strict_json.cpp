#include "model/checkpoint/strict_json.hpp"

#include <fmt/format.h>

#include <string>
#include <unordered_set>
#include <vector>

#include "model/checkpoint/printable.hpp"

namespace optpipe::model {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 16;

// The parser's callback: sees every key before the later of two equal ones overwrites the earlier.
class StructureCheck {
 public:
  explicit StructureCheck(const File& file) : file_(file) {}

  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kDeepest) file_.fail(fmt::format("its JSON is nested more than {} deep", kDeepest));
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event == Json::parse_event_t::key && !keys_.back().insert(parsed.get<std::string>()).second)
      file_.fail(fmt::format("its JSON has the key \"{}\" twice", printable(parsed.get<std::string>())));
    return true;
  }

 private:
  const File& file_;
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects that are open
};

}  // namespace

Json parse_strict_json(const File& file, std::span<const std::byte> text) {
  const auto* begin = reinterpret_cast<const char*>(text.data());
  StructureCheck check(file);
  auto json = Json::parse(
      begin, begin + text.size(),
      [&](int depth, Json::parse_event_t event, Json& parsed) { return check(depth, event, parsed); }, false);
  if (!json.is_object())
    file.fail("what should be a JSON object is not one; the file is damaged, fetch it again");
  return json;
}

}  // namespace optpipe::model
