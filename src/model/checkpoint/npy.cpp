#include "model/checkpoint/npy.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "model/checkpoint/byte_views.hpp"
#include "model/checkpoint/names.hpp"
#include "model/checkpoint/printable.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::model {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::uint64_t kLargestHeader = 1 << 20;

struct NpyHeader {
  std::string_view type;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// {'descr': '<f2', 'fortran_order': False, 'shape': (3, 4), }: each key once, in any order.
class HeaderParser {
 public:
  HeaderParser(const File& file, std::string_view text) : file_(file), rest_(text) {}

  NpyHeader parse() {
    expect("{");
    while (!accept("}")) {
      parse_member();
      if (accept("}")) break;
      expect(",");
    }
    skip_spaces();
    if (!rest_.empty() || seen_ != kAll) fail();
    return header_;
  }

 private:
  enum Key : unsigned { kType = 1, kOrder = 2, kShape = 4, kAll = 7 };

  void parse_member() {
    const auto key = text();
    expect(":");
    if (key == "descr" && is_new(kType))
      header_.type = text();
    else if (key == "fortran_order" && is_new(kOrder))
      header_.fortran_order = boolean();
    else if (key == "shape" && is_new(kShape))
      header_.shape = tuple();
    else
      fail();
  }
  bool is_new(Key key) {
    const bool result = (seen_ & key) == 0;
    seen_ |= key;
    return result;
  }

  std::string_view text() {
    expect("'");
    const auto end = rest_.find('\'');
    if (end == std::string_view::npos) fail();
    const auto result = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return result;
  }
  bool boolean() {
    if (accept("True")) return true;
    expect("False");
    return false;
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> result;
    expect("(");
    while (!accept(")")) {
      if (result.size() == kMostDimensions) fail();
      result.push_back(number());
      if (accept(")")) break;
      expect(",");
    }
    return result;
  }
  std::int64_t number() {
    skip_spaces();
    std::int64_t value = -1;
    const auto [end, status] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (status != std::errc{} || value < 0) fail();
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }

  void skip_spaces() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n')) rest_.remove_prefix(1);
  }
  bool accept(std::string_view token) {
    skip_spaces();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) fail();
  }
  [[noreturn]] void fail() const { file_.fail("its .npy header is malformed; convert the weights anew"); }

  const File& file_;
  std::string_view rest_;
  NpyHeader header_;
  unsigned seen_ = 0;  // Keys
};

struct HeaderPlace {
  std::uint64_t offset, length;
};

HeaderPlace find_header(const File& file) {
  const auto magic = file.bytes(0, kMagic.size());
  if (as_text(magic) != kMagic)
    file.fail("it is not in .npy format; remove it from the folder, or convert it anew");
  const auto version = file.bytes(kMagic.size(), 2);
  const auto major = std::to_integer<unsigned>(version[0]);
  if (major < 1 || major > 3 || version[1] != std::byte{0})
    file.fail(fmt::format("its .npy version {}.{} is unknown", major, std::to_integer<unsigned>(version[1])));
  const std::uint64_t length_bytes = major == 1 ? 2 : 4, length_offset = kMagic.size() + 2;
  const auto length = little_endian(as_text(file.bytes(length_offset, length_bytes)));
  if (length > kLargestHeader) file.fail(fmt::format("its .npy header claims {} bytes", length));
  return {length_offset + length_bytes, length};
}

DType dtype_of(const File& file, std::string_view type) {
  if (type == "<f2") return DType::f16;
  if (type == "<f4") return DType::f32;
  file.fail(fmt::format(
      "its elements are of type '{}'; '<f2' (fp16) and '<f4' (fp32) are read: convert the weights "
      "anew",
      printable(type)));
}

}  // namespace

TensorTable read_npy(const File& file) {
  const auto place = find_header(file);
  const auto text = file.bytes(place.offset, place.length);
  auto header = HeaderParser(file, as_text(text)).parse();
  if (header.fortran_order) file.fail("it is in Fortran order; save it with numpy.ascontiguousarray");
  TensorLocation location;
  location.dtype = dtype_of(file, header.type);
  location.stored_type = header.type;
  location.shape = std::move(header.shape);
  const auto what = printable(file.path().string());
  location.elements = count_elements(location.shape, what);
  location.offset = place.offset + place.length;
  const auto bytes =
      checked_multiply(static_cast<std::uint64_t>(location.elements), size_of(*location.dtype), what);
  if (bytes != file.size() - location.offset)
    file.fail(fmt::format("its elements should take {} bytes, but {} follow the header: it is cut or damaged",
                          bytes, file.size() - location.offset));
  TensorTable table;
  table.add(file, canonical_name_of_npy(file.path().filename().string()), std::move(location));
  return table;
}

}  // namespace optpipe::model
