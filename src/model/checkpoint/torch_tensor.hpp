// From what a state dict's pickle records of one tensor to where its elements lie.
#pragma once

#include <string>
#include <string_view>

#include "model/checkpoint/pickle_machine.hpp"
#include "model/checkpoint/tensor_table.hpp"
#include "model/checkpoint/zip_index.hpp"

namespace optpipe::model {

// Members of torch._utils: (storage, offset, size, stride, ...) and (tensor, ...).
inline constexpr std::string_view kRebuildTensor = "_rebuild_tensor_v2";
inline constexpr std::string_view kRebuildParameter = "_rebuild_parameter";

bool is_tensor(const pickle::Value& value);  // a tensor or a parameter, rather than a number or a dict

class TorchTensor {
 public:
  // `folder` is the archive's, `name` the tensor's, as stored.
  TorchTensor(const File& file, const ZipIndex& zip, const std::string& folder, std::string_view name)
      : file_(file), zip_(zip), folder_(folder), name_(name) {}

  // Throws InputError if the record is malformed, or an element lies outside the storage, or that outside its
  // entry. Tensors of types that optpipe does not compute with are located without a look at their storage.
  TensorLocation locate(const pickle::Value& value) const;

 private:
  struct Storage;

  Storage storage(const pickle::Value& value) const;
  std::vector<std::int64_t> sizes(const pickle::Value& value) const;
  std::int64_t size(const pickle::Value& value) const;
  void check_extent(const TensorLocation& tensor, std::int64_t first, std::int64_t storage_elements) const;
  std::string what() const;
  [[noreturn]] void fail(const std::string& why) const;

  const File& file_;
  const ZipIndex& zip_;
  const std::string& folder_;
  std::string_view name_;
};

}  // namespace optpipe::model
