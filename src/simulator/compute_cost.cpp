#include "simulator/compute_cost.hpp"

#include <algorithm>
#include <cmath>

#include "optpipe/planner/backend.hpp"

namespace optpipe::simulator {
namespace {

// Rows gathered by the host: how many a thread takes at a time, and what a further thread is worth.
constexpr double kRowsOfPart = 16, kThreadGain = 0.7;

// What the host does for a new token between two token steps: hands it over, looks whether its sequence goes
// on, packs the next rows.
constexpr double kAcceptStepS = 20e-6, kAcceptTokenS = 0.3e-6;

// Products over X reach so much of the rate at which keys and values are read: measured on an H100, OPT-30B,
// 48 prompts.
constexpr double kRateOverX = 0.56;

}  // namespace

double size_factor(StorageFormat format) {
  const auto bytes = [](StorageFormat each) {
    return static_cast<double>(RowFormat{each, DType::f16, kGroupValues}.row_bytes());
  };
  return bytes(format) / bytes(StorageFormat::native);
}

ComputeCost::ComputeCost(const model::ModelConfig& config, const Device& device, int threads,
                         const Elements& elements)
    : config_(config),
      device_(device),
      threads_(threads),
      speed_(device.is_gpu ? 1 : static_cast<double>(threads) / device.threads),
      elements_(elements),
      chunk_rows_(static_cast<double>(device.is_gpu ? planner::cuda::kChunkRows : planner::cpu::kChunkRows)) {
}

double ComputeCost::product(double rows, double parameters, bool prompt) const {
  const auto& rates = prompt ? device_.prompt_products : device_.products;
  // Quantized weights are read, written as fp16, and read again by the product.
  const double widening = device_.is_gpu && !elements_.weights_are_wide
                              ? parameters * (elements_.weights + 2) / device_.memory_bytes_s
                              : 0;
  const double of_chunk = elements_.widened_for > 0 ? 0 : widening;
  const auto chunk = [&](double count) {
    return 2 * count * parameters / (product_rate(rates, count) * speed_) + of_chunk + device_.kernel_s;
  };
  const double whole = std::floor(rows / chunk_rows_), rest = rows - whole * chunk_rows_;
  const double shared = elements_.widened_for > 0 ? widening / elements_.widened_for : 0;
  const double seconds = whole * chunk(chunk_rows_) + (rest > 0 ? chunk(rest) : 0) + shared;
  return prompt ? seconds * prompt_factor_ : seconds;
}

// The head stays in the model's own format.
double ComputeCost::head_product(double rows, double parameters) const {
  return 2 * rows * parameters / (product_rate(device_.products, rows) * speed_) + device_.kernel_s;
}

double ComputeCost::pass(double rows, double columns, double times) const {
  return times * (rows * columns * elements_.hidden / device_.memory_bytes_s) + device_.kernel_s;
}

double ComputeCost::embed(const Batch& batch) const {
  const auto h = static_cast<double>(config_.hidden);
  if (device_.is_gpu) return pass(batch.rows, h, 3) + 2 * device_.kernel_s;
  const double parts = std::ceil(batch.rows / kRowsOfPart);  // that threads share
  const double threads = std::max(1.0, kThreadGain * std::min(threads_, parts));
  return batch.rows * h / (device_.embedding_values_s * threads) + pass(batch.rows, h, 1);
}

double ComputeCost::project_qkv(const Batch& batch) const {
  const auto h = static_cast<double>(config_.hidden);
  if (elements_.x_cache) return product(batch.rows, h * h, batch.prompt) + pass(batch.rows, h, 6);
  const double products = batch.prompt ? 3 : 1;  // of a decode step, q, k and v are one
  return products * product(batch.rows, 3 * h * h / products, batch.prompt) + pass(batch.rows, h, 2) +
         pass(batch.rows, h, 4) + device_.kernel_s;
}

// Prompts: keys and values of all rows. New tokens: h values of each head are written and read twice, around
// products of 2 · heads · h values a position, for which X is read twice.
double ComputeCost::attend_to_x(const Batch& batch) const {
  const auto h = static_cast<double>(config_.hidden), heads = static_cast<double>(config_.heads);
  const double products = 2 * product(batch.rows, h * h, batch.prompt);
  if (batch.prompt) return products + pass(batch.rows, h, 4);
  const double positions = batch.sequences * batch.context;
  const double bytes = 2 * positions * h * elements_.kv + 4 * batch.sequences * heads * h * elements_.hidden;
  const double flops = 4 * positions * heads * h;
  return products +
         std::max(bytes / (kRateOverX * device_.attention_bytes_s),
                  flops / device_.prompt_attention_flops_s) /
             speed_ +
         3 * device_.kernel_s;
}

double ComputeCost::attend(const Batch& batch, double share) const {
  if (elements_.x_cache && !batch.prompt) return attend_to_x(batch);
  const double of_x = elements_.x_cache ? attend_to_x(batch) : 0;
  const auto h = static_cast<double>(config_.hidden) * share;
  if (batch.prompt) {
    const double length = batch.rows / std::max(batch.sequences, 1.0);
    return of_x + 2 * h * batch.rows * length / (device_.prompt_attention_flops_s * speed_) +
           2 * device_.kernel_s;
  }
  const double bytes = 2 * batch.sequences * batch.context * h * elements_.kv;
  return bytes / (device_.attention_bytes_s * speed_) + 2 * device_.kernel_s;
}

double ComputeCost::feed_forward(const Batch& batch) const {
  const auto h = static_cast<double>(config_.hidden), f = static_cast<double>(config_.ffn);
  return product(batch.rows, h * h, batch.prompt) + product(batch.rows, h * f, batch.prompt) +
         product(batch.rows, f * h, batch.prompt) + pass(batch.rows, h, 2);
}

double ComputeCost::sample(const Batch& batch) const {
  const auto vocabulary = static_cast<double>(config_.vocabulary), e = static_cast<double>(config_.embedding);
  return head_product(batch.sequences, vocabulary * e) +
         batch.sequences * vocabulary * 8 / device_.memory_bytes_s + 4 * device_.kernel_s;
}

double ComputeCost::accept(const Batch& batch) const {
  return kAcceptStepS + batch.sequences * kAcceptTokenS;
}

double ComputeCost::prompt_products(const Batch& batch) const {
  const auto h = static_cast<double>(config_.hidden), f = static_cast<double>(config_.ffn);
  return product(batch.rows, 4 * h * h + 2 * h * f, true);
}

double ComputeCost::sustained_factor(double product_s) const {
  if (product_s <= device_.burst_s) return 1;
  return (device_.burst_s + (product_s - device_.burst_s) / device_.sustained) / product_s;
}

}  // namespace optpipe::simulator
