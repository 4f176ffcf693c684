#include "model/checkpoint/shard_index.hpp"

#include <fmt/format.h>

#include <string_view>

#include "model/checkpoint/names.hpp"
#include "model/checkpoint/printable.hpp"
#include "model/checkpoint/strict_json.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::model {
namespace {

constexpr Bytes kLargestIndex = 100'000'000;

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

}  // namespace

bool ShardIndex::add(const std::string& tensor, const std::string& file) {
  const auto [position, is_new] = positions_.try_emplace(file, files.size());
  if (is_new) files.push_back(file);
  return file_of.try_emplace(tensor, position->second).second;
}

ShardIndex read_shard_index(const File& file) {
  if (file.size() > kLargestIndex)
    file.fail(fmt::format("an index of {} is not credible", format_bytes(file.size())));
  const auto json = parse_strict_json(file, file.bytes(0, file.size()));
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object() || map->empty())
    file.fail("it has no \"weight_map\" of tensors to files; fetch it again");
  ShardIndex index;
  for (const auto& [name, value] : map->items()) {
    if (!value.is_string())
      file.fail(fmt::format("\"{}\" is mapped to something that is no file name", printable(name)));
    const auto& shard = value.get_ref<const std::string&>();
    if (!is_plain_file_name(shard))
      file.fail(
          fmt::format("it maps \"{}\" to \"{}\", but paths in an index cannot leave the checkpoint's folder",
                      printable(name), printable(shard)));
    if (!index.add(canonical_name(name), shard))
      file.fail(fmt::format("it names {} twice, with and without a prefix", printable(canonical_name(name))));
  }
  return index;
}

}  // namespace optpipe::model
