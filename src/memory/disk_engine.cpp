#include "memory/disk_engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "optpipe/base/error.hpp"

namespace optpipe::memory {

std::vector<DiskRequest> cut_into_pieces(std::span<const DiskRequest> requests) {
  std::vector<DiskRequest> pieces;
  for (DiskRequest request : requests) {
    while (request.bytes > 0) {
      // Pieces end at multiples of their size, so that all but the first and last are of one size and
      // alignment.
      DiskRequest piece = request;
      piece.bytes = std::min(request.bytes, kDiskPiece - request.offset % kDiskPiece);
      pieces.push_back(piece);
      advance(request, piece.bytes);
    }
  }
  return pieces;
}

bool advance(DiskRequest& piece, Bytes done) {
  if (done == 0)
    throw SystemError(
        fmt::format("the offload file ends at {}, where {} bytes were expected: it was cut short",
                    piece.offset, piece.bytes));
  piece.offset += done;
  piece.memory += done;
  piece.bytes -= done;
  return piece.bytes > 0;
}

void fail(const DiskRequest& piece, int error) {
  throw SystemError(fmt::format("{} {} bytes at {} of the offload file failed: {}",
                                piece.write ? "writing" : "reading", piece.bytes, piece.offset,
                                std::strerror(error)));
}

}  // namespace optpipe::memory
