// JSON from files that others wrote: what could mislead is refused.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>

#include "model/checkpoint/file.hpp"

namespace optpipe::model {

// Parses `text`, a part or all of `file`. Throws InputError unless it is one JSON object in which no object
// has a key twice and nothing is nested more than 16 deep.
nlohmann::json parse_strict_json(const File& file, std::span<const std::byte> text);

}  // namespace optpipe::model
