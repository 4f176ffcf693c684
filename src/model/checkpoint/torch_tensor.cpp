#include "model/checkpoint/torch_tensor.hpp"

#include <fmt/format.h>

#include "model/checkpoint/printable.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::model {
namespace {

using pickle::Kind;
using pickle::Value;

bool calls(const Value& value, std::string_view function) {
  return value.kind == Kind::call && value.items[0]->text == "torch._utils" &&
         value.items[0]->name == function;
}

const std::vector<Value*>& arguments_of(const Value& call) { return call.items[1]->items; }

std::optional<DType> dtype_of(std::string_view storage) {
  if (storage == "HalfStorage") return DType::f16;
  if (storage == "BFloat16Storage") return DType::bf16;
  if (storage == "FloatStorage") return DType::f32;
  return std::nullopt;
}

bool is_contiguous(const TensorLocation& tensor) {
  std::int64_t expected = 1;
  for (auto d = tensor.shape.size(); d-- > 0;) {
    if (tensor.shape[d] != 1 && tensor.strides[d] != expected) return false;
    expected *= tensor.shape[d];
  }
  return true;
}

}  // namespace

struct TorchTensor::Storage {
  std::string_view type;
  std::optional<DType> dtype;
  std::string_view key;
  std::int64_t elements = 0;
};

bool is_tensor(const Value& value) { return calls(value, kRebuildTensor) || calls(value, kRebuildParameter); }

TensorLocation TorchTensor::locate(const Value& value) const {
  const Value* tensor = &value;
  if (calls(value, kRebuildParameter)) {
    if (arguments_of(value).empty()) fail("is a parameter of nothing");
    tensor = arguments_of(value)[0];
  }
  if (!calls(*tensor, kRebuildTensor) || arguments_of(*tensor).size() < 4)
    fail("is not described as torch does");
  const auto& record = arguments_of(*tensor);
  const auto storage_of_tensor = storage(*record[0]);
  TensorLocation result;
  result.dtype = storage_of_tensor.dtype;
  result.stored_type = fmt::format("torch.{}", printable(storage_of_tensor.type));
  const auto first = size(*record[1]);
  result.shape = sizes(*record[2]);
  result.strides = sizes(*record[3]);
  if (result.strides.size() != result.shape.size()) fail("has not one stride per dimension");
  result.elements = count_elements(result.shape, what());
  if (!result.dtype) return result;

  check_extent(result, first, storage_of_tensor.elements);
  const auto item = size_of(*result.dtype);
  const auto& entry = zip_.stored(fmt::format("{}/data/{}", folder_, storage_of_tensor.key));
  if (static_cast<std::uint64_t>(storage_of_tensor.elements) != entry.size / item)
    fail(fmt::format("has a storage of {} elements in an entry of {} bytes", storage_of_tensor.elements,
                     entry.size));
  // An empty tensor may have any first element, and none of it is read.
  result.offset =
      result.elements == 0 ? entry.offset : entry.offset + static_cast<std::uint64_t>(first) * item;
  if (result.elements == 0 || is_contiguous(result)) result.strides.clear();
  return result;
}

// The persistent id ("storage", type, key, device, number of elements).
TorchTensor::Storage TorchTensor::storage(const Value& value) const {
  const bool known = value.kind == Kind::persistent && value.items[0]->kind == Kind::tuple;
  if (!known || value.items[0]->items.size() < 5) fail("has no storage that could be read");
  const auto& id = value.items[0]->items;
  if (id[0]->kind != Kind::text || id[0]->text != "storage" || id[1]->kind != Kind::global ||
      id[2]->kind != Kind::text)
    fail("has no storage that could be read");
  return {id[1]->name, dtype_of(id[1]->name), id[2]->text, size(*id[4])};
}

std::vector<std::int64_t> TorchTensor::sizes(const Value& value) const {
  if (value.kind != Kind::tuple || value.items.size() > kMostDimensions)
    fail("has no usable shape or strides");
  std::vector<std::int64_t> result;
  for (const auto* item : value.items) result.push_back(size(*item));
  return result;
}

std::int64_t TorchTensor::size(const Value& value) const {
  if (value.kind != Kind::integer || value.integer < 0)
    fail("has a size, stride or offset that is no natural number");
  return value.integer;
}

void TorchTensor::check_extent(const TensorLocation& tensor, std::int64_t first,
                               std::int64_t storage_elements) const {
  if (tensor.elements == 0) return;
  auto last = static_cast<std::uint64_t>(first);
  for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
    const auto steps = static_cast<std::uint64_t>(tensor.shape[d] - 1);
    last = checked_add(last, checked_multiply(steps, static_cast<std::uint64_t>(tensor.strides[d]), what()),
                       what());
  }
  if (last >= static_cast<std::uint64_t>(storage_elements))
    fail(fmt::format("reaches element {} of a storage of {}", last, storage_elements));
}

std::string TorchTensor::what() const {
  return fmt::format("tensor {} in {}", printable(name_), printable(file_.path().string()));
}

void TorchTensor::fail(const std::string& why) const {
  file_.fail(fmt::format("its tensor {} {}; the file is damaged, fetch it again", printable(name_), why));
}

}  // namespace optpipe::model
