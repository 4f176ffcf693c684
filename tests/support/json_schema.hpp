// Checks a JSON value against the part of JSON Schema that the project's schemas use.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace optpipe::test {

// One line for each place that differs: "/ranks/0/host: is missing". Knows type, enum, required, properties,
// additionalProperties and items; throws std::invalid_argument for any other keyword that restricts values.
std::vector<std::string> schema_violations(const nlohmann::json& schema, const nlohmann::json& value);

}  // namespace optpipe::test
