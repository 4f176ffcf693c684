#include <fmt/format.h>

#include <map>

#include "cli/options/groups.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

constexpr const char* kGroup = kPolicyGroup;

void add_attention_options(CLI::App& app, RunOptions& o) {
  using memory::AttentionPlace;
  const std::map<std::string, AttentionPlace> places{{"gpu", AttentionPlace::gpu},
                                                     {"cpu", AttentionPlace::cpu},
                                                     {"split", AttentionPlace::split},
                                                     {"auto", AttentionPlace::automatic}};
  auto* place =
      app.add_option_function<std::string>(
             "--attention", [&o, places](const std::string& name) { o.policy.attention = places.at(name); },
             "Where new tokens attend to the KV cache on the host: gpu (it crosses to the GPU), cpu "
             "(CPU cores attend to it where it lies), split, or auto (split so that both finish together)")
          ->check(CLI::IsMember({"gpu", "cpu", "split", "auto"}))
          ->type_name("gpu|cpu|split|auto")
          ->default_str("gpu")
          ->group(kGroup);
  app.add_option("--attention-share", o.policy.attention_share,
                 "With --attention split, the part that CPU cores attend to (default: so that both finish "
                 "together)")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("0..1")
      ->group(kGroup);
  app.add_option(
         "--attn-sparsity", o.policy.attention_sparsity,
         "Of the values before a new token's own, the part that counts: those with the largest attention "
         "weights (1: all). Changes tokens")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("0..1")
      ->default_str("1")
      ->group(kGroup);
  app.add_flag_callback(
         "--cpu-cache-compute,--cpu", [&o] { o.policy.attention = AttentionPlace::cpu; },
         "The same as --attention cpu")
      ->excludes(place)
      ->group(kGroup);
}

}  // namespace

void add_offload_directory(CLI::App& app, RunOptions& o, const std::string& group) {
  app.add_option("--offload-dir", o.offload_directory, "Folder for the disk tier (default: $TMPDIR, or /tmp)")
      ->type_name("DIR")
      ->group(group);
}

void add_policy_options(CLI::App& app, RunOptions& o) {
  app.add_option("--percent", o.percent,
                 "Six numbers: percent of weights on GPU, on CPU, of KV cache on GPU, on CPU, of activations "
                 "on GPU, on CPU; the rest of each is on disk. On the CPU backend, GPU means working memory")
      ->expected(6)
      ->type_name("N N N N N N")
      ->default_str("100 0 100 0 100 0")
      ->group(kGroup);
  app.add_option("--gpu-batch-size", o.policy.gpu_batch_size,
                 "Prompts computed at once (0: chosen from the number of prompts)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 20))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--num-gpu-batches", o.policy.gpu_batches,
                 "GPU batches in a micro-batch; a loaded weight serves all of them")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 16))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--num-inner-iterations", o.policy.micro_batches,
                 "Micro-batches in flight (0: one per rank)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 16))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option(
         "--prefill-pieces", o.policy.prefill_pieces,
         "Pieces in which a micro-batch's prompts travel through the pipeline: GPU batches, or parts of "
         "them (auto: so that filling it costs least)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{4096}))
      ->transform(CLI::Transformer(std::map<std::string, std::string>{{"auto", "0"}}))
      ->type_name("N|auto")
      ->default_str("auto")
      ->group(kGroup);
  add_attention_options(app, o);
  app.add_option("--overlap", o.policy.overlap, "Whether transfers run beside computation")
      ->expected(0, 1)
      ->type_name("BOOL")
      ->default_str("true")
      ->group(kGroup);
  app.add_option("--stage-layers", o.stage_layers,
                 "Layers of each rank, such as 4,4,3 (default: balanced by cost)")
      ->delimiter(',')
      ->type_name("N,N,...")
      ->group(kGroup);
  app.add_option(
         "--stages", o.policy.stages,
         "How layers are dealt out: contiguous (each rank one run of layers), or looped (chunks in turn; one "
         "load of a chunk's weights serves all micro-batches)")
      ->transform(CLI::CheckedTransformer(std::map<std::string, memory::Stages>{
          {"contiguous", memory::Stages::contiguous}, {"looped", memory::Stages::looped}}))
      ->type_name("NAME")
      ->default_str("contiguous")
      ->group(kGroup);
  app.add_option("--chunk-layers", o.policy.chunk_layers, "Layers of a chunk of looped stages")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 16))
      ->capture_default_str()
      ->group(kGroup);
  add_offload_directory(app, o, kGroup);
  app.add_flag("--verify-offload", o.verify_offload,
               "Check what is read from the disk tier against checksums")
      ->group(kGroup);
  add_compression_options(app, o.policy);
}

namespace {

// With the place of attention to be chosen there is but one to choose.
void check_x_cache(memory::Policy& policy) {
  using memory::AttentionPlace;
  if (policy.attention == AttentionPlace::automatic) policy.attention = AttentionPlace::gpu;
  if (policy.attention != AttentionPlace::gpu)
    throw UsageError(
        fmt::format("--kv-format x does not go with --attention {}: each head attends to whole vectors, "
                    "which costs cores "
                    "as many times more as there are heads; use --attention gpu, or another --kv-format",
                    name_of(policy.attention)));
  if (policy.attention_sparsity < 1)
    throw UsageError(
        "--attn-sparsity does not go with --kv-format x, which keeps no values to leave out; use --kv-format "
        "native");
}

}  // namespace

void check_policy(RunOptions& o) {
  memory::set_percent(o.policy, o.percent);
  if (o.policy.attention_share && o.policy.attention != memory::AttentionPlace::split)
    throw UsageError("--attention-share goes with --attention split");
  if (o.policy.attention_sparsity < 1 && is_quantized(o.policy.kv_format))
    throw UsageError(
        "--attn-sparsity does not go with quantized keys and values; use --kv-format native, or leave it "
        "out");
  if (o.policy.x_cache) check_x_cache(o.policy);
}

}  // namespace optpipe::cli
