#include "model/checkpoint/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "model/checkpoint/byte_views.hpp"
#include "model/checkpoint/coded_metadata.hpp"
#include "model/checkpoint/names.hpp"
#include "model/checkpoint/printable.hpp"
#include "model/checkpoint/strict_json.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::model {
namespace {

using Json = nlohmann::json;

constexpr Bytes kLargestHeader = 100'000'000;
constexpr Bytes kLengthBytes = 8;

struct StoredType {
  std::string_view name;
  std::uint64_t bits;
  std::optional<DType> dtype;
};
constexpr std::array<StoredType, 21> kTypes{
    {{"F16", 16, DType::f16}, {"BF16", 16, DType::bf16}, {"F32", 32, DType::f32},
     {"F64", 64, {}},         {"I64", 64, {}},           {"U64", 64, {}},
     {"C64", 64, {}},         {"I32", 32, {}},           {"U32", 32, {}},
     {"I16", 16, {}},         {"U16", 16, {}},           {"I8", 8, {}},
     {"U8", 8, {}},           {"BOOL", 8, {}},           {"F8_E4M3", 8, {}},
     {"F8_E5M2", 8, {}},      {"F8_E8M0", 8, {}},        {"F4", 4, {}},
     {"F6_E2M3", 6, {}},      {"F6_E3M2", 6, {}},        {"F8_E4M3FNUZ", 8, {}}}};

struct Extent {
  std::uint64_t begin, end;  // bytes from the end of the header
};

// One tensor's entry in the header.
class Entry {
 public:
  Entry(const File& file, const std::string& name, const Json& json) : file_(file), name_(name), json_(json) {
    if (!json.is_object()) fail("is not an object");
  }

  TensorLocation location(std::uint64_t data_start) const {
    const auto type = stored_type();
    const auto [begin, end] = extent();
    TensorLocation result;
    result.dtype = type.dtype;
    result.stored_type = type.name;
    result.shape = shape();
    const auto what = fmt::format("tensor {} in {}", printable(name_), printable(file_.path().string()));
    result.elements = count_elements(result.shape, what);
    const auto bits = checked_multiply(static_cast<std::uint64_t>(result.elements), type.bits, what);
    if (bits % 8 != 0 || bits / 8 != end - begin)
      fail(fmt::format("has {} elements of {} in {} bytes", result.elements, type.name, end - begin));
    result.offset = checked_add(data_start, begin, what);
    return result;
  }

  // Bytes that hold quantized rows, as `text` of the metadata says.
  void interpret(const std::string& text, TensorLocation& location) const {
    const auto row = parse_row_format(text);
    if (!row) fail(fmt::format("is quantized as \"{}\", which is no such format", printable(text)));
    if (location.stored_type != "U8" || location.shape.size() != 2 ||
        static_cast<std::uint64_t>(location.shape[1]) != row->row_bytes())
      fail(fmt::format("is quantized as \"{}\", but is no matrix of rows of {} bytes", printable(text),
                       row->row_bytes()));
    location.shape[1] = row->run;
    location.dtype = row->dtype;
    location.format = row->format;
  }

  Extent extent() const {
    const auto& pair = member("data_offsets");
    if (!pair.is_array() || pair.size() != 2) fail("has data_offsets that are not two numbers");
    const Extent result{number(pair[0]), number(pair[1])};
    if (result.begin > result.end) fail("ends before it begins");
    return result;
  }

 private:
  StoredType stored_type() const {
    const auto& name = member("dtype");
    if (!name.is_string()) fail("has a dtype that is not a string");
    for (const auto& type : kTypes)
      if (name.get_ref<const std::string&>() == type.name) return type;
    fail(fmt::format("has the unknown dtype \"{}\"", printable(name.get_ref<const std::string&>())));
  }

  std::vector<std::int64_t> shape() const {
    const auto& array = member("shape");
    if (!array.is_array() || array.size() > kMostDimensions) fail("has no usable shape");
    std::vector<std::int64_t> result;
    for (const auto& size : array) result.push_back(static_cast<std::int64_t>(number(size)));
    return result;
  }

  const Json& member(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) fail(fmt::format("has no {}", key));
    return *found;
  }

  std::uint64_t number(const Json& value) const {
    if (!value.is_number_unsigned()) fail("has a size or offset that is not a whole number");
    const auto result = value.get<std::uint64_t>();
    if (result > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      fail(fmt::format("has the impossible size or offset {}", result));
    return result;
  }

  [[noreturn]] void fail(const std::string& why) const {
    file_.fail(fmt::format("its header's entry {} {}; fetch the file again", printable(name_), why));
  }

  const File& file_;
  const std::string& name_;
  const Json& json_;
};

std::uint64_t header_length(const File& file) {
  if (file.size() < kLengthBytes) file.fail("it is too short for a safetensors file; fetch it again");
  const auto length = little_endian(as_text(file.bytes(0, kLengthBytes)));
  if (length > kLargestHeader || length > file.size() - kLengthBytes)
    file.fail(
        fmt::format("its header claims {} bytes of a file of {} (at most {} are allowed): it is cut, or no "
                    "safetensors file; fetch it again",
                    length, file.size(), kLargestHeader));
  return length;
}

void check_cover(const File& file, std::vector<Extent> extents, std::uint64_t data_bytes) {
  std::sort(extents.begin(), extents.end(),
            [](Extent a, Extent b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  std::uint64_t end = 0;
  for (const auto& extent : extents) {
    if (extent.begin != end)
      file.fail(fmt::format("its tensors leave a gap or overlap at data byte {}; fetch it again", end));
    end = extent.end;
  }
  if (end != data_bytes)
    file.fail(fmt::format(
        "its tensors take {} bytes, but {} follow the header: it is cut or damaged; fetch it again", end,
        data_bytes));
}

}  // namespace

TensorTable read_safetensors_header(const File& file) {
  const auto length = header_length(file);
  const auto text = file.bytes(kLengthBytes, length);
  if (text.empty() || text.front() != std::byte{'{'})
    file.fail("its header does not begin with '{'; fetch it again");
  const auto header = parse_strict_json(file, text);
  const auto data_start = kLengthBytes + length;
  TensorTable table;
  std::vector<Extent> extents;
  const auto metadata_entry = header.find(kMetadata);
  const Json metadata = metadata_entry == header.end() ? Json() : *metadata_entry;
  for (const auto& [name, json] : header.items()) {
    if (name == kMetadata) continue;
    const Entry entry(file, name, json);
    extents.push_back(entry.extent());
    auto location = entry.location(data_start);
    if (const auto described = row_format_text(metadata, name)) entry.interpret(*described, location);
    table.add(file, canonical_name(name), std::move(location));
  }
  check_cover(file, std::move(extents), file.size() - data_start);
  return table;
}

}  // namespace optpipe::model
