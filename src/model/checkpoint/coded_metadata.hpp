// How a safetensors file says that a tensor of bytes holds quantized rows: the entry "optpipe.rows:NAME" of
// its metadata, with "FORMAT COLUMNS DTYPE", such as "4bit 7168 fp16" (base/storage_format.hpp describes the
// rows).
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "optpipe/base/storage_format.hpp"

namespace optpipe::model {

inline constexpr const char* kMetadata = "__metadata__";

std::string row_format_key(const std::string& tensor);
std::string to_text(const RowFormat& format);

// What `metadata` (an object, or anything else: nothing) says of a tensor.
std::optional<std::string> row_format_text(const nlohmann::json& metadata, const std::string& tensor);
// Nothing where the text is no format of a quantized row.
std::optional<RowFormat> parse_row_format(const std::string& text);

}  // namespace optpipe::model
