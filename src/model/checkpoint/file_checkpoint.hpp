// A checkpoint in one or more files, whatever their format.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "model/checkpoint/file.hpp"
#include "model/checkpoint/shard_index.hpp"
#include "model/checkpoint/tensor_table.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"

namespace optpipe::model {

struct FileFormat {
  std::string_view name;  // for messages
  TensorTable (*read_table)(const File&) = nullptr;
  bool keep_open = true;  // false where files are so many that descriptors could run out
};

class FileCheckpoint final : public Checkpoint {
 public:
  // One file that holds all tensors; it is opened, and its table checked, at once.
  FileCheckpoint(FileFormat format, std::filesystem::path directory, std::string file);
  // Files that `index` names; each is opened when one of its tensors is asked for.
  FileCheckpoint(FileFormat format, std::filesystem::path directory, ShardIndex index);

  std::string describe() const override;
  std::optional<TensorInfo> find(std::string_view name) const override;
  void read(std::string_view name, std::int64_t first, std::int64_t count,
            std::span<std::byte> out) const override;
  void read_rows(std::string_view name, std::int64_t first, std::int64_t count,
                 std::span<std::byte> out) const override;

 private:
  struct Shard {
    std::filesystem::path path;
    std::mutex mutex;  // guards the first opening; afterwards nothing changes
    std::optional<TensorTable> table;
    std::optional<File> file;  // if it is kept open
  };
  struct Found {
    const Shard& shard;
    const TensorLocation& location;
  };

  std::optional<Found> locate(std::string_view name) const;
  Found locate_or_refuse(std::string_view name) const;
  Shard* shard_of(const std::string& name) const;  // null: no file holds the tensor
  void open(Shard& shard) const;

  FileFormat format_;
  std::filesystem::path directory_;
  std::optional<ShardIndex> index_;
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace optpipe::model
