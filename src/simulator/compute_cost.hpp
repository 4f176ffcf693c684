// Seconds of computation on a device: a roofline over measured rates.
#pragma once

#include <cstdint>

#include "optpipe/base/storage_format.hpp"
#include "optpipe/model/config.hpp"
#include "optpipe/simulator/machine.hpp"

namespace optpipe::simulator {

// Bytes of a quantized format over those of fp16; of a native one: 1.
double size_factor(StorageFormat format);

class ComputeCost {
 public:
  // `threads`: of a CPU rank, whose measured rates count for as many as they were measured with. `elements`:
  // bytes of a value.
  struct Elements {
    double hidden = 2, kv = 2;
    double weights = 2;            // as they lie in memory
    bool weights_are_wide = true;  // otherwise a GPU widens a layer's matrix before each product,
    double widened_for = 0;        // or once for so many GPU batches
    bool x_cache = false;          // attention multiplies by Wk and Wv
  };
  ComputeCost(const model::ModelConfig& config, const Device& device, int threads, const Elements& elements);

  // What a batch of a token step is: so many rows (tokens that are computed), of so many sequences; prompts
  // have many rows each.
  struct Batch {
    double rows = 0, sequences = 0;
    double context = 0;  // positions that each sequence attends to, its own included
    bool prompt = false;
  };

  double embed(const Batch& batch) const;
  double project_qkv(const Batch& batch) const;
  // `share`: of the heads.
  double attend(const Batch& batch, double share = 1) const;
  double feed_forward(const Batch& batch) const;
  double sample(const Batch& batch) const;
  double accept(const Batch& batch) const;

  double copy_on_device(double bytes) const { return 2 * bytes / device_.memory_bytes_s; }

  // Factor on the products of prompts that go on for so long in all.
  double sustained_factor(double product_s) const;
  double prompt_products(const Batch& batch) const;  // of a layer, without that factor
  void slow_down_prompts(double factor) { prompt_factor_ = factor; }

 private:
  // rows · parameters products, with weights read once a chunk of rows.
  double product(double rows, double parameters, bool prompt) const;
  double head_product(double rows, double parameters) const;
  double attend_to_x(const Batch& batch) const;
  double pass(double rows, double columns, double times) const;  // reads and writes of activations

  const model::ModelConfig& config_;
  const Device& device_;
  double threads_;
  double speed_;  // of the measured rates, by threads
  Elements elements_;
  double chunk_rows_;
  double prompt_factor_ = 1;
};

}  // namespace optpipe::simulator
