#include "model/checkpoint/zip_index.hpp"

#include <fmt/format.h>
#include <unzip.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "model/checkpoint/byte_views.hpp"
#include "model/checkpoint/printable.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::model {
namespace {

constexpr std::size_t kLongestName = 1024;
constexpr std::uint64_t kMostEntries = 1'000'000;
constexpr unsigned long kEncrypted = 1;

// The record that ends every archive, without a comment, which torch never writes. minizip reads what is
// missing at the end of a file as zeros, and would not notice a cut there.
void check_end_record(const File& file) {
  constexpr std::uint64_t kRecordBytes = 22;
  constexpr std::string_view kSignature = "PK\5\6";
  if (file.size() >= kRecordBytes) {
    const auto record = file.bytes(file.size() - kRecordBytes, kRecordBytes);
    if (as_text(record).starts_with(kSignature) && as_text(record).ends_with(std::string_view("\0\0", 2)))
      return;
  }
  file.fail("it is no complete ZIP archive (its end is missing); fetch it again");
}

// minizip's handle of an open archive.
class Archive {
 public:
  explicit Archive(const File& file) : file_(file), handle_(unzOpen64(file.path().c_str())) {
    if (!handle_) file.fail("it is no complete ZIP archive (its directory cannot be read); fetch it again");
  }

  std::uint64_t entries() const {
    unz_global_info64 info{};
    check(unzGetGlobalInfo64(handle_.get(), &info));
    if (info.number_entry > kMostEntries)
      file_.fail(fmt::format("{} entries are not credible", info.number_entry));
    return info.number_entry;
  }
  void go_to_first() const { check(unzGoToFirstFile(handle_.get())); }
  void go_to_next() const { check(unzGoToNextFile(handle_.get())); }

  std::pair<std::string, ZipEntry> current() const {
    unz_file_info64 info{};
    std::array<char, kLongestName + 1> name{};
    check(unzGetCurrentFileInfo64(handle_.get(), &info, name.data(), kLongestName, nullptr, 0, nullptr, 0));
    if (info.size_filename > kLongestName) file_.fail("the name of an entry is too long");
    ZipEntry entry;
    entry.plain = info.compression_method == 0 && (info.flag & kEncrypted) == 0 &&
                  info.compressed_size == info.uncompressed_size;
    entry.size = info.compressed_size;
    entry.offset = start_of_data();
    return {std::string(name.data(), info.size_filename), entry};
  }

 private:
  std::uint64_t start_of_data() const {
    int method = 0, level = 0;
    check(unzOpenCurrentFile2(handle_.get(), &method, &level, 1));
    const std::uint64_t offset = unzGetCurrentFileZStreamPos64(handle_.get());
    check(unzCloseCurrentFile(handle_.get()));
    return offset;
  }
  void check(int status) const {
    if (status != UNZ_OK)
      file_.fail(fmt::format("its ZIP directory is damaged (minizip error {}); fetch it again", status));
  }

  struct Close {
    void operator()(void* handle) const { unzClose(handle); }  // it was only read from: nothing can be lost
  };
  const File& file_;
  std::unique_ptr<void, Close> handle_;
};

}  // namespace

ZipIndex::ZipIndex(const File& file) : file_(file) {
  check_end_record(file);
  const Archive archive(file);
  const auto count = archive.entries();
  if (count == 0) file.fail("it is an empty ZIP archive");
  archive.go_to_first();
  for (std::uint64_t i = 0; i < count; ++i) {
    if (i > 0) archive.go_to_next();
    const auto [name, entry] = archive.current();
    if (checked_add(entry.offset, entry.size, printable(file.path().string())) > file.size())
      file.fail(fmt::format("its entry {} ends behind the end of the file; fetch it again", printable(name)));
    if (!entries_.emplace(name, entry).second)
      file.fail(fmt::format("it has two entries {}", printable(name)));
  }
  check_overlaps();
}

void ZipIndex::check_overlaps() const {
  std::vector<ZipEntry> sorted;
  for (const auto& [name, entry] : entries_) sorted.push_back(entry);
  std::sort(sorted.begin(), sorted.end(),
            [](const ZipEntry& a, const ZipEntry& b) { return a.offset < b.offset; });
  for (std::size_t i = 1; i < sorted.size(); ++i)
    if (sorted[i - 1].offset + sorted[i - 1].size > sorted[i].offset)
      file_.fail("entries of its ZIP archive overlap; the file is damaged, fetch it again");
}

const ZipEntry& ZipIndex::stored(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end())
    file_.fail(
        fmt::format("it has no entry {}, which its pickle refers to; fetch it again", printable(name)));
  if (!found->second.plain)
    file_.fail(fmt::format("its entry {} is compressed or encrypted; save it again with torch.save",
                           printable(name)));
  return found->second;
}

}  // namespace optpipe::model
