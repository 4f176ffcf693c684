#include "fuzz/zip_writer.hpp"

#include <cstdint>

namespace optpipe::fuzz {
namespace {

void put(std::string& out, std::uint64_t value, int bytes) {
  for (; bytes > 0; --bytes, value >>= 8) out += static_cast<char>(value);
}

// The fields that a local header and an entry of the central directory have in common, from "version needed"
// on.
void put_common(std::string& out, std::size_t name_bytes, std::size_t size) {
  put(out, 20, 2);         // version needed
  put(out, 0, 2 * 4 + 4);  // flags, method (stored), time, date; CRC-32
  put(out, size, 4);
  put(out, size, 4);
  put(out, name_bytes, 2);
  put(out, 0, 2);  // extra field
}

}  // namespace

std::string zip_of(const std::vector<std::pair<std::string, std::string_view>>& entries) {
  std::string out, directory;
  for (const auto& [name, content] : entries) {
    const auto offset = out.size();
    put(out, 0x04034b50, 4);
    put_common(out, name.size(), content.size());
    out += name;
    out += content;
    put(directory, 0x02014b50, 4);
    put(directory, 20, 2);  // version made by
    put_common(directory, name.size(), content.size());
    put(directory, 0, 2 + 2 + 2);  // comment, disk, internal attributes
    put(directory, 0, 4);          // external attributes
    put(directory, offset, 4);
    directory += name;
  }
  const auto begin = out.size();
  out += directory;
  put(out, 0x06054b50, 4);
  put(out, 0, 4);  // disks
  put(out, entries.size(), 2);
  put(out, entries.size(), 2);
  put(out, directory.size(), 4);
  put(out, begin, 4);
  put(out, 0, 2);  // comment
  return out;
}

}  // namespace optpipe::fuzz
