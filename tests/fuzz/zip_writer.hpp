// A ZIP archive of uncompressed entries, as torch.save writes it, without checksums.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace optpipe::fuzz {

std::string zip_of(const std::vector<std::pair<std::string, std::string_view>>& entries);

}  // namespace optpipe::fuzz
