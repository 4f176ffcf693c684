#include "support/json_schema.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace optpipe::test {
namespace {

using nlohmann::json;

bool has_type(const json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "null") return value.is_null();
  throw std::invalid_argument("unknown type " + type);
}

class Check {
 public:
  std::vector<std::string> found;

  void run(const json& schema, const json& value, const std::string& at) {
    static const std::set<std::string> kKnown{"$schema", "title",    "description", "type",
                                              "enum",    "required", "properties",  "additionalProperties",
                                              "items"};
    for (const auto& [keyword, rule] : schema.items())
      if (!kKnown.contains(keyword)) throw std::invalid_argument(at + ": unknown keyword " + keyword);
    if (schema.contains("type") && !has_one_of(schema["type"], value))
      return add(at, "is " + value.dump() + ", not " + schema["type"].dump());
    if (schema.contains("enum") && std::ranges::count(schema["enum"], value) == 0)
      add(at, "is " + value.dump());
    if (value.is_object()) run_object(schema, value, at);
    if (value.is_array() && schema.contains("items"))
      for (std::size_t i = 0; i < value.size(); ++i)
        run(schema["items"], value[i], at + "/" + std::to_string(i));
  }

 private:
  static bool has_one_of(const json& types, const json& value) {
    if (types.is_string()) return has_type(value, types);
    return std::ranges::any_of(types, [&](const json& type) { return has_type(value, type); });
  }

  void run_object(const json& schema, const json& value, const std::string& at) {
    for (const std::string name : schema.value("required", json::array()))
      if (!value.contains(name)) add(at + "/" + name, "is missing");
    const json properties = schema.value("properties", json::object());
    const json others = schema.value("additionalProperties", json(true));
    for (const auto& [name, member] : value.items()) {
      const std::string place = at + "/" + name;
      if (properties.contains(name))
        run(properties[name], member, place);
      else if (others == false)
        add(place, "is not described");
      else if (others.is_object())
        run(others, member, place);
    }
  }

  void add(const std::string& at, const std::string& what) { found.push_back(at + ": " + what); }
};

}  // namespace

std::vector<std::string> schema_violations(const json& schema, const json& value) {
  Check check;
  check.run(schema, value, "");
  return check.found;
}

}  // namespace optpipe::test
