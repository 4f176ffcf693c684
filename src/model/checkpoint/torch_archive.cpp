#include "model/checkpoint/torch_archive.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "model/checkpoint/byte_views.hpp"
#include "model/checkpoint/names.hpp"
#include "model/checkpoint/pickle_machine.hpp"
#include "model/checkpoint/printable.hpp"
#include "model/checkpoint/torch_tensor.hpp"
#include "model/checkpoint/zip_index.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::model {
namespace {

constexpr std::string_view kPickleEntry = "/data.pkl";
constexpr Bytes kLargestPickle = 64 * kMiB;

void refuse_other_kinds(const File& file) {
  const auto head = file.bytes(0, std::min<std::uint64_t>(file.size(), 4));
  if (as_text(head).starts_with("PK")) return;
  if (as_text(head).starts_with("\x80"))
    file.fail(
        "it was written by torch before 1.6, or without its ZIP format; convert it in Python: "
        "torch.save(torch.load(FILE, map_location=\"cpu\", weights_only=True), FILE)");
  file.fail("it is neither a ZIP archive nor a pickle of torch; fetch it again");
}

// The folder inside the archive: "pytorch_model", or whatever the file was called when it was saved.
std::string folder_of(const File& file, const ZipIndex& zip) {
  std::string folder;
  for (const auto& [name, entry] : zip.entries()) {
    if (name.ends_with("/constants.pkl"))
      file.fail(
          "it is a TorchScript program, not a state dict; convert it in Python: "
          "torch.save(torch.jit.load(FILE).state_dict(), FILE)");
    if (!name.ends_with(kPickleEntry)) continue;
    if (!folder.empty()) file.fail("it holds several pickles; save one state dict per file");
    folder = name.substr(0, name.size() - kPickleEntry.size());
  }
  if (folder.empty()) file.fail("it is a ZIP archive without data.pkl, so torch.save did not write it");
  return folder;
}

void check_byte_order(const File& file, const ZipIndex& zip, const std::string& folder) {
  const auto name = folder + "/byteorder";
  if (!zip.entries().contains(name)) return;
  const auto& entry = zip.stored(name);
  if (entry.size > 16 || as_text(file.bytes(entry.offset, entry.size)) != "little")
    file.fail("its numbers are not little-endian; save it anew on a little-endian machine");
}

bool may_mention(std::string_view module, std::string_view name) {
  if (module == "torch._utils") return name == kRebuildTensor || name == kRebuildParameter;
  return module == "torch" && name.ends_with("Storage");
}

}  // namespace

TensorTable read_torch_archive(const File& file) {
  refuse_other_kinds(file);
  const ZipIndex zip(file);
  const auto folder = folder_of(file, zip);
  check_byte_order(file, zip, folder);
  const auto& entry = zip.stored(folder + std::string(kPickleEntry));
  if (entry.size > kLargestPickle)
    file.fail(fmt::format("a pickle of {} is not credible", format_bytes(entry.size)));
  const auto source =
      fmt::format("{}, entry {}{}", printable(file.path().string()), printable(folder), kPickleEntry);
  const pickle::Pickle pickle(file.bytes(entry.offset, entry.size), source, may_mention);
  if (pickle.root().kind != pickle::Kind::dict)
    file.fail("its pickle is not a dict of tensors; save the state dict");
  TensorTable table;
  const auto& items = pickle.root().items;
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i]->kind != pickle::Kind::text || !is_tensor(*items[i + 1])) continue;
    const auto name = items[i]->text;
    table.add(file, canonical_name(name), TorchTensor(file, zip, folder, name).locate(*items[i + 1]));
  }
  if (table.size() == 0)
    file.fail(
        "its dict holds no tensors; if the state dict lies deeper inside, save it alone with torch.save");
  return table;
}

}  // namespace optpipe::model
