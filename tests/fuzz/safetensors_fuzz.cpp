#include "fuzz/tensors.hpp"
#include "model/checkpoint/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace optpipe;
  const fuzz::MemoryFile input(fuzz::as_text(data, size));
  fuzz::expect_answer_or_error([&] {
    const model::File file(input.path());
    fuzz::read_tensors(file, model::read_safetensors_header(file));
  });
  return 0;
}
