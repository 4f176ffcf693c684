#include <cstdlib>

#include "fuzz/target.hpp"
#include "model/checkpoint/shard_index.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace optpipe;
  const fuzz::MemoryFile input(fuzz::as_text(data, size));
  fuzz::expect_answer_or_error([&] {
    const auto index = model::read_shard_index(model::File(input.path()));
    for (const auto& file : index.files)  // no way out of the checkpoint's folder
      if (std::filesystem::path("folder") / file !=
          std::filesystem::path("folder/" + file).lexically_normal())
        std::abort();
  });
  return 0;
}
