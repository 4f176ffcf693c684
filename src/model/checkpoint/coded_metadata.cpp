#include "model/checkpoint/coded_metadata.hpp"

#include <fmt/format.h>

#include <charconv>

namespace optpipe::model {

std::string row_format_key(const std::string& tensor) { return "optpipe.rows:" + tensor; }

std::string to_text(const RowFormat& format) {
  return fmt::format("{} {} {}", name_of(format.format), format.run, name_of(format.dtype));
}

std::optional<std::string> row_format_text(const nlohmann::json& metadata, const std::string& tensor) {
  if (!metadata.is_object()) return std::nullopt;
  const auto found = metadata.find(row_format_key(tensor));
  if (found == metadata.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::optional<RowFormat> parse_row_format(const std::string& text) {
  constexpr std::int64_t kMostColumns = std::int64_t{1} << 32;
  for (const StorageFormat format : {StorageFormat::q8, StorageFormat::q4}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      const std::string begin = fmt::format("{} ", name_of(format)), end = fmt::format(" {}", name_of(dtype));
      if (!text.starts_with(begin) || !text.ends_with(end) || text.size() <= begin.size() + end.size())
        continue;
      RowFormat row{format, dtype, 0};
      const char *first = text.data() + begin.size(), *last = text.data() + text.size() - end.size();
      const auto [stop, status] = std::from_chars(first, last, row.run);
      if (status != std::errc{} || stop != last || row.run <= 0 || row.run > kMostColumns)
        return std::nullopt;
      return row;
    }
  }
  return std::nullopt;
}

}  // namespace optpipe::model
