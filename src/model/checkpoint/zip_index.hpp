// The entries of a ZIP or ZIP64 archive, and where their bytes lie, so that they can be read in place.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "model/checkpoint/file.hpp"

namespace optpipe::model {

struct ZipEntry {
  std::uint64_t offset = 0;  // of the first byte, in the file
  std::uint64_t size = 0;    // bytes in the archive
  bool plain = false;        // neither compressed nor encrypted
};

class ZipIndex {
 public:
  // Reads the central directory and every local header, no contents; checksums are not compared, since torch
  // can be told to leave them out. Throws InputError if the archive is damaged, or entries overlap or leave
  // the file.
  explicit ZipIndex(const File& file);

  const std::map<std::string, ZipEntry>& entries() const { return entries_; }

  // The entry, which must be there and plain; InputError otherwise.
  const ZipEntry& stored(const std::string& name) const;

 private:
  void check_overlaps() const;

  const File& file_;
  std::map<std::string, ZipEntry> entries_;
};

}  // namespace optpipe::model
