// Finds out which kind of checkpoint a folder holds.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "model/checkpoint/file_checkpoint.hpp"
#include "model/checkpoint/names.hpp"
#include "model/checkpoint/npy.hpp"
#include "model/checkpoint/printable.hpp"
#include "model/checkpoint/safetensors.hpp"
#include "model/checkpoint/torch_archive.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"

namespace optpipe::model {
namespace {

namespace fs = std::filesystem;
using Opened = std::unique_ptr<Checkpoint>;

constexpr FileFormat kSafetensors{"safetensors", read_safetensors_header, true};
constexpr FileFormat kTorch{"torch .bin", read_torch_archive, true};
constexpr FileFormat kNpy{"FlexGen npy", read_npy, false};

// Names in `directory`, sorted.
std::vector<std::string> list(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator i(directory, error), end; !error && i != end; i.increment(error))
    names.push_back(i->path().filename().string());
  if (error)
    throw InputError(fmt::format("cannot list {}: {}; check its permissions", printable(directory.string()),
                                 error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  // A dangling link counts: opening it says what is wrong, passing it over would not.
  return fs::symlink_status(path, error).type() != fs::file_type::not_found && !error;
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

Opened open_single_or_sharded(const FileFormat& format, const fs::path& directory, const std::string& file) {
  if (is_there(directory / file)) return std::make_unique<FileCheckpoint>(format, directory, file);
  const auto index = directory / (file + ".index.json");
  if (!is_there(index)) return nullptr;
  return std::make_unique<FileCheckpoint>(format, directory, read_shard_index(File(index)));
}

ShardIndex index_of_npy(const fs::path& directory) {
  ShardIndex index;
  for (const auto& file : list(directory)) {
    const auto name = canonical_name_of_npy(file);
    if (!is_opt_tensor(name) || is_folder(directory / file)) continue;
    if (!index.add(name, file))
      throw InputError(fmt::format("{} holds {} twice, as {} and under another name; remove one",
                                   printable(directory.string()), printable(name), printable(file)));
  }
  return index;
}

// The folder itself, or the one folder *-np inside it.
Opened open_npy(const fs::path& directory) {
  if (auto index = index_of_npy(directory); !index.files.empty())
    return std::make_unique<FileCheckpoint>(kNpy, directory, std::move(index));
  std::vector<std::string> folders;
  for (const auto& name : list(directory))
    if (name.ends_with("-np") && is_folder(directory / name)) folders.push_back(name);
  if (folders.empty()) return nullptr;
  if (folders.size() > 1)
    throw InputError(fmt::format("{} holds several folders of weights ({}); name one of them",
                                 printable(directory.string()),
                                 printable(fmt::format("{}", fmt::join(folders, ", ")))));
  auto index = index_of_npy(directory / folders[0]);
  if (index.files.empty()) return nullptr;
  return std::make_unique<FileCheckpoint>(kNpy, directory / folders[0], std::move(index));
}

bool is_foreign(const std::string& name) {
  constexpr std::array<std::string_view, 6> kForeign{".h5",   ".msgpack", ".ot",
                                                     ".onnx", ".gguf",    ".ckpt.index"};
  return std::any_of(kForeign.begin(), kForeign.end(), [&](auto suffix) { return name.ends_with(suffix); });
}

bool is_stray_shard(const std::string& name) {
  return name.ends_with(".safetensors") || (name.starts_with("pytorch_model") && name.ends_with(".bin"));
}

[[noreturn]] void nothing_found(const fs::path& directory) {
  std::vector<std::string> foreign, stray;
  for (const auto& name : list(directory)) {
    if (is_foreign(name)) foreign.push_back(name);
    if (is_stray_shard(name)) stray.push_back(name);
  }
  std::string hint = "check the path, or fetch the weights";
  if (!foreign.empty())
    hint = fmt::format(
        "found only {}, weights of another framework: load them with transformers (from_tf=True or "
        "from_flax=True) and save_pretrained()",
        printable(fmt::format("{}", fmt::join(foreign, ", "))));
  if (!stray.empty())
    hint = fmt::format("found {}, but no index that says what they hold: fetch the *.index.json beside them",
                       printable(fmt::format("{}", fmt::join(stray, ", "))));
  throw InputError(fmt::format(
      "no checkpoint in {}: looked for model.safetensors, model.safetensors.index.json, pytorch_model.bin, "
      "pytorch_model.bin.index.json, and FlexGen's folder of npy files (or one folder *-np that holds them); "
      "{}",
      printable(directory.string()), hint));
}

}  // namespace

std::unique_ptr<Checkpoint> open_checkpoint(const fs::path& directory) {
  if (!is_folder(directory))
    throw InputError(
        fmt::format("{} is not a folder; name the folder that holds the weights (or _DUMMY_ for random "
                    "ones)",
                    printable(directory.string())));
  if (auto found = open_single_or_sharded(kSafetensors, directory, "model.safetensors")) return found;
  if (auto found = open_single_or_sharded(kTorch, directory, "pytorch_model.bin")) return found;
  if (auto found = open_npy(directory)) return found;
  nothing_found(directory);
}

}  // namespace optpipe::model
