#include "model/checkpoint/file_checkpoint.hpp"

#include <fmt/format.h>

#include "model/checkpoint/element_reader.hpp"
#include "model/checkpoint/printable.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::model {

FileCheckpoint::FileCheckpoint(FileFormat format, std::filesystem::path directory, std::string file)
    : format_(format), directory_(std::move(directory)) {
  shards_.push_back(std::make_unique<Shard>());
  shards_.back()->path = directory_ / file;
  open(*shards_.back());
}

FileCheckpoint::FileCheckpoint(FileFormat format, std::filesystem::path directory, ShardIndex index)
    : format_(format), directory_(std::move(directory)), index_(std::move(index)) {
  for (const auto& file : index_->files) {
    shards_.push_back(std::make_unique<Shard>());
    shards_.back()->path = directory_ / file;
  }
}

std::string FileCheckpoint::describe() const {
  return fmt::format("{} checkpoint at {} ({} file{})", format_.name, directory_.string(), shards_.size(),
                     shards_.size() == 1 ? "" : "s");
}

std::optional<TensorInfo> FileCheckpoint::find(std::string_view name) const {
  const auto found = locate(name);
  if (!found) return std::nullopt;
  return TensorInfo{*found->location.dtype, found->location.shape, found->location.format};
}

void FileCheckpoint::read(std::string_view name, std::int64_t first, std::int64_t count,
                          std::span<std::byte> out) const {
  const auto found = locate_or_refuse(name);
  OPTPIPE_CHECK(!is_quantized(found.location.format), "elements of the quantized {}", name);
  if (found.shard.file)
    read_elements(*found.shard.file, found.location, first, count, out);
  else
    read_elements(File(found.shard.path), found.location, first, count, out);
}

void FileCheckpoint::read_rows(std::string_view name, std::int64_t first, std::int64_t count,
                               std::span<std::byte> out) const {
  const auto found = locate_or_refuse(name);
  const auto& location = found.location;
  OPTPIPE_CHECK(is_quantized(location.format), "quantized rows of {}, which is not", name);
  const std::int64_t rows = location.shape.front();
  const Bytes row_bytes = location.row_format().row_bytes();
  OPTPIPE_CHECK(first >= 0 && count >= 0 && first <= rows && count <= rows - first, "rows {} + {} of {}",
                first, count, rows);
  OPTPIPE_CHECK(out.size() == static_cast<Bytes>(count) * row_bytes, "{} rows to {} bytes", count,
                out.size());
  const auto offset = location.offset + static_cast<Bytes>(first) * row_bytes;
  if (found.shard.file)
    found.shard.file->read(offset, out);
  else
    File(found.shard.path).read(offset, out);
}

FileCheckpoint::Found FileCheckpoint::locate_or_refuse(std::string_view name) const {
  const auto found = locate(name);
  if (!found)
    throw InputError(fmt::format("{} has no tensor {}; is it the model's?", describe(), printable(name)));
  return *found;
}

void Checkpoint::read_rows(std::string_view name, std::int64_t, std::int64_t, std::span<std::byte>) const {
  OPTPIPE_CHECK(false, "{} holds no quantized rows of {}", describe(), name);
}

std::optional<FileCheckpoint::Found> FileCheckpoint::locate(std::string_view name) const {
  const std::string key(name);
  auto* shard = shard_of(key);
  if (!shard) return std::nullopt;
  open(*shard);
  const auto* location = shard->table->find(key);
  const auto in_shard = [&] {
    return fmt::format("tensor {} in {}", printable(name), printable(shard->path.string()));
  };
  if (!location && index_)
    throw InputError(in_shard() +
                     " is missing, although the index says it is there; fetch the checkpoint again");
  if (!location) return std::nullopt;
  if (!location->dtype)
    throw InputError(fmt::format("{} is of type {}; fp16, bf16 and fp32 are supported: convert it",
                                 in_shard(), location->stored_type));
  return Found{*shard, *location};
}

FileCheckpoint::Shard* FileCheckpoint::shard_of(const std::string& name) const {
  if (!index_) return shards_.front().get();
  const auto found = index_->file_of.find(name);
  return found == index_->file_of.end() ? nullptr : shards_[found->second].get();
}

void FileCheckpoint::open(Shard& shard) const {
  const std::lock_guard lock(shard.mutex);
  if (shard.table) return;
  File file(shard.path);
  refuse_lfs_pointer(file);
  auto table = format_.read_table(file);
  if (format_.keep_open) shard.file.emplace(std::move(file));
  shard.table = std::move(table);
}

}  // namespace optpipe::model
