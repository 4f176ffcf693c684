// The index of a checkpoint in several files: which file holds which tensor.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/checkpoint/file.hpp"

namespace optpipe::model {

struct ShardIndex {
  std::vector<std::string> files;                        // names inside the checkpoint's folder
  std::unordered_map<std::string, std::size_t> file_of;  // canonical tensor name → position in `files`

  // Adds a tensor; false if it was there already.
  bool add(const std::string& tensor, const std::string& file);

 private:
  std::unordered_map<std::string, std::size_t> positions_;  // of `files`
};

// Reads the "weight_map" of NAME.index.json. Throws InputError if it is malformed, or names files outside the
// folder.
ShardIndex read_shard_index(const File& file);

}  // namespace optpipe::model
