// How fast the folder of the disk tier is.
#pragma once

#include <filesystem>

#include "optpipe/base/units.hpp"

namespace optpipe::probe {

struct DiskRates {
  double write = 0, read = 0;  // bytes a second
};

// By the disk tier itself, around the page cache: writes `bytes` and reads them again. Throws as
// memory::DiskFile does.
DiskRates disk_rates(const std::filesystem::path& directory, Bytes bytes);

}  // namespace optpipe::probe
