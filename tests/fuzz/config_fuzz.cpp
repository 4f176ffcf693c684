// config.json, and what is computed from it before anything is allocated.
#include "fuzz/target.hpp"
#include "optpipe/model/slice.hpp"
#include "optpipe/model/tensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace optpipe;
  fuzz::write_scratch("config.json", fuzz::as_text(data, size));
  fuzz::expect_answer_or_error([] {
    const auto config = model::load_config(fuzz::scratch_folder());
    model::embedding_tensors(config);
    model::layer_tensors(config, LayerId(config.layers - 1));
    model::head_tensors(config);
    model::balance_stages(config, 3);
  });
  return 0;
}
