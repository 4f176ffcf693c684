#include "fuzz/tensors.hpp"
#include "model/checkpoint/names.hpp"
#include "model/checkpoint/npy.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace optpipe;
  const fuzz::MemoryFile input(fuzz::as_text(data, size));
  fuzz::expect_answer_or_error([&] {
    const model::File file(input.path());
    const auto table = model::read_npy(file);
    const auto* tensor = table.find(model::canonical_name_of_npy(file.path().filename().string()));
    std::vector<std::byte> out(static_cast<std::size_t>(tensor->elements) * size_of(*tensor->dtype));
    model::read_elements(file, *tensor, 0, tensor->elements, out);
  });
  return 0;
}
