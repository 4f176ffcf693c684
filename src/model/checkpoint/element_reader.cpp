#include "model/checkpoint/element_reader.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "optpipe/base/check.hpp"

namespace optpipe::model {
namespace {

// Walks a strided tensor in row-major order.
class StridedCursor {
 public:
  StridedCursor(const TensorLocation& tensor, std::int64_t first)
      : tensor_(tensor), coordinates_(tensor.shape.size()) {
    for (auto d = coordinates_.size(); d-- > 0;) {
      coordinates_[d] = first % tensor.shape[d];
      first /= tensor.shape[d];
      position_ += coordinates_[d] * tensor.strides[d];
    }
  }

  std::int64_t position() const { return position_; }  // in elements from element 0

  void advance() {
    for (auto d = coordinates_.size(); d-- > 0;) {
      position_ += tensor_.strides[d];
      if (++coordinates_[d] < tensor_.shape[d]) return;
      position_ -= coordinates_[d] * tensor_.strides[d];
      coordinates_[d] = 0;
    }
  }

 private:
  const TensorLocation& tensor_;
  std::vector<std::int64_t> coordinates_;
  std::int64_t position_ = 0;
};

struct Range {
  std::int64_t begin, end;
};

Range positions_of(const TensorLocation& tensor, std::int64_t first, std::int64_t count) {
  StridedCursor cursor(tensor, first);
  Range range{cursor.position(), cursor.position() + 1};
  for (std::int64_t i = 0; i < count; ++i, cursor.advance()) {
    range.begin = std::min(range.begin, cursor.position());
    range.end = std::max(range.end, cursor.position() + 1);
  }
  return range;
}

void gather(const File& file, const TensorLocation& tensor, std::int64_t first, std::int64_t count,
            std::span<std::byte> out, Bytes window) {
  const auto item = size_of(*tensor.dtype);
  const auto whole = positions_of(tensor, first, count);
  const auto step = std::max<std::int64_t>(1, static_cast<std::int64_t>(window / item));
  std::vector<std::byte> buffer;
  for (auto begin = whole.begin; begin < whole.end;) {
    const auto end = whole.end - begin > step ? begin + step : whole.end;
    buffer.resize(static_cast<std::size_t>(end - begin) * item);
    file.read(tensor.offset + static_cast<std::uint64_t>(begin) * item, buffer);
    StridedCursor cursor(tensor, first);
    for (std::int64_t i = 0; i < count; ++i, cursor.advance()) {
      if (cursor.position() < begin || cursor.position() >= end) continue;
      std::memcpy(out.data() + static_cast<std::size_t>(i) * item,
                  buffer.data() + static_cast<std::size_t>(cursor.position() - begin) * item, item);
    }
    begin = end;
  }
}

}  // namespace

void read_elements(const File& file, const TensorLocation& tensor, std::int64_t first, std::int64_t count,
                   std::span<std::byte> out, Bytes window) {
  OPTPIPE_CHECK(tensor.dtype.has_value(), "elements of type {} cannot be read", tensor.stored_type);
  const auto item = size_of(*tensor.dtype);
  OPTPIPE_CHECK(first >= 0 && count >= 0 && first <= tensor.elements && count <= tensor.elements - first,
                "elements {} + {} of a tensor of {}", first, count, tensor.elements);
  OPTPIPE_CHECK(out.size() == static_cast<std::size_t>(count) * item, "{} elements to {} bytes", count,
                out.size());
  if (count == 0) return;
  if (tensor.strides.empty())
    file.read(tensor.offset + static_cast<std::uint64_t>(first) * item, out);
  else
    gather(file, tensor, first, count, out, window);
}

}  // namespace optpipe::model
