#include "support/pipeline.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <mutex>
#include <thread>

#include "optpipe/comm/in_process.hpp"
#include "optpipe/executor/device_links.hpp"
#include "optpipe/executor/pipeline.hpp"

namespace optpipe::test {
namespace {

class Collector final : public executor::TokenSink {
 public:
  Collector(const std::vector<std::vector<std::int32_t>>& prompts, std::int32_t eos)
      : prompts_(prompts), eos_(eos), tokens(prompts.size()) {}

  std::span<const std::int32_t> prompt(std::int64_t sequence) const override {
    return prompts_[static_cast<std::size_t>(sequence)];
  }
  bool accept(std::int64_t sequence, std::int32_t token) override {
    tokens[static_cast<std::size_t>(sequence)].push_back(token);
    return token != eos_;
  }

 private:
  const std::vector<std::vector<std::int32_t>>& prompts_;
  std::int32_t eos_;

 public:
  std::vector<std::vector<std::int32_t>> tokens;
};

}  // namespace

std::string to_string(const Setting& s) {
  return fmt::format(
      "{} ranks, chunks of {}, percent {}, batches {}x{}, {} micro-batches, {} pieces, overlap {}, {} "
      "threads, weights "
      "{}, KV {}, attention {} {}",
      s.ranks, s.chunk_layers, fmt::join(s.percent, " "), s.gpu_batch_size, s.gpu_batches, s.micro_batches,
      s.prefill_pieces, s.overlap, s.threads, name_of(s.weight_format),
      s.x_cache ? "x" : name_of(s.kv_format), name_of(s.attention), s.attention_share);
}

Output run_pipeline(const std::filesystem::path& model, const Setting& setting,
                    const std::vector<std::vector<std::int32_t>>& prompts,
                    const std::vector<std::int64_t>& new_tokens, std::int32_t eos) {
  const auto config = model::load_config(model);
  const bool looped = setting.chunk_layers > 0;
  const auto slices = looped ? model::loop_stages(config, setting.ranks, setting.chunk_layers)
                             : model::balance_stages(config, setting.ranks);
  executor::StageOptions options;
  options.policy.stages = looped ? memory::Stages::looped : memory::Stages::contiguous;
  options.policy.refill = setting.refill;
  options.policy.chunk_layers = std::max<std::int64_t>(setting.chunk_layers, 1);
  memory::set_percent(options.policy, setting.percent);
  options.policy.gpu_batch_size = setting.gpu_batch_size;
  options.policy.gpu_batches = setting.gpu_batches;
  options.policy.micro_batches = setting.micro_batches;
  options.policy.prefill_pieces = setting.prefill_pieces;
  options.policy.overlap = setting.overlap;
  options.policy.weight_format = setting.weight_format;
  options.policy.kv_format = setting.kv_format;
  options.policy.x_cache = setting.x_cache;
  options.policy.keep_widened = setting.keep_widened;
  options.policy.attention = setting.attention;
  options.policy.attention_share = setting.attention_share;
  options.policy.attention_sparsity = setting.attention_sparsity;
  options.sampling = setting.sampling;
  options.threads = setting.threads;
  options.offload_directory = std::filesystem::temp_directory_path();

  std::vector<memory::Sequence> sequences;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    sequences.push_back(
        {static_cast<std::int64_t>(i), static_cast<std::int64_t>(prompts[i].size()), new_tokens[i]});

  Output output;
  Collector collector(prompts, eos);
  std::mutex mutex;
  std::exception_ptr failure;
  options.on_logits = [&](std::int64_t sequence, std::int64_t step, std::span<const float> logits) {
    const std::lock_guard lock(mutex);
    if (step == 0) output.first_logits[sequence].assign(logits.begin(), logits.end());
    output.logits[{sequence, step}].assign(logits.begin(), logits.end());
    output.last_logits[sequence].assign(logits.begin(), logits.end());
  };
  comm::InProcessWorld world(setting.ranks);
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < setting.ranks; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          auto transport = world.endpoint(Rank(rank));
          if (setting.wrap) transport = setting.wrap(std::move(transport));
          const auto shared =
              executor::share_sequences(*transport, rank == 0 ? sequences : std::vector<memory::Sequence>{});
          const auto rounds = memory::make_rounds(shared, options.policy, setting.ranks);
          const auto checkpoint = model::open_checkpoint(model);
          const executor::FailureHandler on_failure = [&](std::exception_ptr) {
            transport->abort(ExitStatus::failure, "a step failed");
          };
          const auto& slice = slices[static_cast<std::size_t>(rank)];
          auto own_options = options;
          own_options.on_timeline = [&](const schedule::Program& program,
                                        std::span<const schedule::StepTime> times, auto) {
            const std::lock_guard lock(mutex);
            output.timelines.push_back({rank, program, {times.begin(), times.end()}});
          };
          const int gpu = setting.nccl ? rank : 0;
          if (setting.nccl)
            own_options.device_link = executor::connect_devices(*transport, gpu, executor::CommDevice::gpu,
                                                                comm::Seconds(60), looped);
          const auto stage = setting.cuda ? executor::make_cuda_stage(gpu, config, slice, *checkpoint, rounds,
                                                                      own_options, *transport, on_failure)
                                          : executor::make_cpu_stage(config, slice, *checkpoint, rounds,
                                                                     own_options, *transport, on_failure);
          executor::run_rounds(*stage, rounds, rank == 0 ? &collector : nullptr, {});
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (!failure) failure = std::current_exception();
          world.endpoint(Rank(rank))->abort(ExitStatus::failure, "rank failed");
        }
      });
    }
  }
  if (failure) std::rethrow_exception(failure);
  output.tokens = std::move(collector.tokens);
  return output;
}

}  // namespace optpipe::test
