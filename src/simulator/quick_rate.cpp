#include "simulator/quick_rate.hpp"

#include <algorithm>

#include "optpipe/planner/ledger.hpp"
#include "optpipe/planner/prefill.hpp"
#include "simulator/compute_cost.hpp"

namespace optpipe::simulator {
namespace {

// Shares of a class on the three tiers, of 1.
struct Shares {
  explicit Shares(const memory::TierShares& percent)
      : device(percent.device / 100), host(percent.host / 100), disk(std::max(0.0, percent.disk() / 100)) {}
  double moved() const { return host + disk; }
  double device, host, disk;
};

}  // namespace

QuickRate quick_rate(const SearchRequest& request, int ranks, const memory::Policy& policy) {
  const Machine& machine = request.site.machine;
  const model::ModelConfig& config = request.config;
  const bool gpu = machine.device.is_gpu;
  const double element = gpu ? 2 : 4;  // of hidden states
  const double weight_element = gpu ? 2 : static_cast<double>(size_of(request.weights));
  const ComputeCost compute(
      config, machine.device, request.site.threads_of_rank(ranks),
      {element, 2 * size_factor(policy.kv_format), weight_element * size_factor(policy.weight_format),
       !is_quantized(policy.weight_format), static_cast<double>(policy.gpu_batches), policy.x_cache});

  const auto micro_batches = static_cast<double>(policy.micro_batches_for(ranks));
  const auto batches = static_cast<double>(policy.gpu_batches),
             batch = static_cast<double>(policy.gpu_batch_size);
  const auto prompt = static_cast<double>(request.prompt_tokens),
             steps = static_cast<double>(request.new_tokens);
  const double prompts = micro_batches * batches * batch, context = prompt + steps / 2;
  const auto h = static_cast<double>(config.hidden), f = static_cast<double>(config.ffn);
  const double layers = static_cast<double>(config.layers) / ranks;

  const Shares weights(policy.weights), kv(policy.kv), hidden(policy.hidden);
  const double layer_bytes =
      (4 * h * h + 2 * h * f + 9 * h) * weight_element * size_factor(policy.weight_format);
  const double head_bytes = static_cast<double>(config.vocabulary * config.embedding) * weight_element;
  const double slice_bytes = layers * layer_bytes + head_bytes / ranks;
  const double arrays = policy.x_cache ? 1 : 2;
  const double token_kv = arrays * h * 2 * layers * size_factor(policy.kv_format);  // of a prompt's position
  const double rows_hidden = batch * prompt * h * element;  // of a GPU batch of prompts

  // Seconds of computation of one micro-batch.
  const auto of_micro_batch = [&](const ComputeCost::Batch& b) {
    return batches * (layers * (compute.project_qkv(b) + compute.attend(b) + compute.feed_forward(b)) +
                      compute.sample(b) / ranks);
  };
  const double prefill_compute = of_micro_batch({batch * prompt, batch, prompt, true});
  const double decode_compute = of_micro_batch({batch, batch, context, false});

  const int on_node = std::min(request.site.ranks_per_node, ranks);
  const double in = std::min(machine.copies.in, machine.copies.all_in / on_node),
               out = std::min(machine.copies.out, machine.copies.all_out / on_node);
  const double disk_read = machine.disk.read_bytes_s / on_node,
               disk_write = machine.disk.write_bytes_s / on_node;
  const double small_copies =
      batches * layers * batch * arrays * machine.copies.copy_s * (kv.moved() > 0 ? 1 : 0);

  // Of looped stages, one load of a chunk serves all micro-batches, and hidden states come back once a chunk.
  const bool looped = policy.stages == memory::Stages::looped && ranks > 1;
  const double loads = looped ? 1 / micro_batches : 1;
  const double visits = looped ? std::max(1.0, layers / static_cast<double>(policy.chunk_layers)) : 1;
  const double streamed = weights.moved() * slice_bytes * loads;
  // Attention on cores: so much of the host's keys and values that cores and copies finish together.
  const double host_kv = kv.host * batches * batch * context * token_kv;
  const bool split = gpu && policy.attention != memory::AttentionPlace::gpu && host_kv > 0;
  const auto ceilings = attention_ceilings(machine, policy.kv_format);
  const double by_cores =
      split ? host_kv * planner::balanced_share(
                            {streamed + kv.disk * batches * batch * context * token_kv, host_kv}, ceilings)
            : 0;
  const double prefill_kv = batches * batch * prompt * token_kv,
               hidden_moves = batches * layers * rows_hidden;
  // One micro-batch through one stage: the slowest of what runs side by side.
  const double prefill_stage =
      std::max({prefill_compute * compute.sustained_factor(prefill_compute * micro_batches),
                (streamed + hidden.moved() * hidden_moves) / in,
                (kv.moved() * prefill_kv + hidden.moved() * hidden_moves) / out,
                (weights.disk * slice_bytes * loads + hidden.disk * hidden_moves) / disk_read,
                (kv.disk * prefill_kv + hidden.disk * hidden_moves) / disk_write});
  const double decode_kv = batches * batch * context * token_kv;
  const double decode_stage = std::max(
      {decode_compute, (streamed + kv.moved() * decode_kv - by_cores) / in, by_cores / ceilings.cpu_bytes_s,
       small_copies, (weights.disk * slice_bytes * loads + kv.disk * decode_kv) / disk_read});

  // Prefill fills and drains the pipeline with a piece; in decode a token waits for all stages.
  memory::Policy in_pieces = policy;
  in_pieces.prefill_pieces = planner::best_prefill_pieces(
      policy,
      {policy.gpu_batches * policy.gpu_batch_size * request.prompt_tokens,
       policy.gpu_batches * policy.gpu_batch_size, policy.micro_batches_for(ranks)},
      ranks, request.weights, gpu ? planner::Backend::cuda : planner::Backend::cpu);
  const auto cut = in_pieces.prefill_cut();
  const double prefill =
      prefill_stage * (micro_batches + (ranks - 1) / (visits * static_cast<double>(cut.pieces)));
  const double decode = (steps - 1) * decode_stage * std::max(micro_batches, static_cast<double>(ranks));

  QuickRate rate;
  rate.token_s = prompts * steps / (prefill + decode);
  const double kv_bytes = prompts * (prompt + steps - 1) * token_kv;
  const double slots = weights.moved() > 0 ? 2 * weights.moved() * layer_bytes : 0;
  const double kv_slots = 3 * kv.moved() * kv_bytes / (micro_batches * batches * std::max(layers, 1.0));
  const double at_once = rows_hidden / cut.parts;
  const double work = (hidden.device >= 1 ? batches * (ranks > 1 ? 2 : 1) : 3) * at_once;
  const double tables = static_cast<double>(config.vocabulary + config.positions) * h * weight_element;
  rate.gpu_bytes = weights.device * slice_bytes + slots + kv.device * kv_bytes + kv_slots + work +
                   hidden.device * (hidden.device < 1 ? batches * rows_hidden : 0) + 2 * at_once +
                   static_cast<double>(planner::runtime::kCudaContext) + 0.4e9;
  rate.host_bytes =
      weights.host * slice_bytes + kv.host * kv_bytes + hidden.host * batches * rows_hidden + tables / ranks;
  rate.disk_bytes = weights.disk * slice_bytes + kv.disk * kv_bytes + hidden.disk * batches * rows_hidden;
  return rate;
}

}  // namespace optpipe::simulator
