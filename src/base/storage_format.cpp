#include "optpipe/base/storage_format.hpp"

namespace optpipe {

std::string_view name_of(StorageFormat format) {
  switch (format) {
    case StorageFormat::native:
      return "native";
    case StorageFormat::q8:
      return "8bit";
    case StorageFormat::q4:
      return "4bit";
  }
  return "?";
}

}  // namespace optpipe
