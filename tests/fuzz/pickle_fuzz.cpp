// The input is the pickle of an archive that is otherwise sound, with one storage.
#include "fuzz/tensors.hpp"
#include "fuzz/zip_writer.hpp"
#include "model/checkpoint/torch_archive.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace optpipe;
  const std::string storage(256, 'x');
  const fuzz::MemoryFile input(fuzz::zip_of(
      {{"m/data.pkl", fuzz::as_text(data, size)}, {"m/data/0", storage}, {"m/data/1", storage}}));
  fuzz::expect_answer_or_error([&] {
    const model::File file(input.path());
    fuzz::read_tensors(file, model::read_torch_archive(file));
  });
  return 0;
}
