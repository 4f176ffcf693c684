// The ledger against the validator's account of the program: two computations of the same bytes, from layouts
// and from steps.
#include "optpipe/planner/ledger.hpp"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "optpipe/schedule/validate.hpp"

namespace optpipe::planner {
namespace {

using schedule::BufferKind;

constexpr Bytes pages(Bytes bytes) { return round_up(bytes, 4096); }

struct Case {
  model::ModelConfig config;
  memory::Policy policy;
  std::vector<memory::Round> rounds;
  int ranks = 1;
  Backend backend{};
};

Case draw(std::mt19937& random) {
  const auto pick = [&](std::int64_t from, std::int64_t to) {
    return std::uniform_int_distribution<std::int64_t>(from, to)(random);
  };
  Case c;
  c.config = model::config_of_size(pick(0, 1) == 0 ? "opt-125m" : "opt-350m");
  c.config.layers = pick(6, 9);
  c.ranks = static_cast<int>(pick(1, 3));
  c.backend = pick(0, 1) == 0 ? Backend::cpu : Backend::cuda;
  std::vector<double> percent;
  for (int i = 0; i < 3; ++i) {
    const auto device = pick(0, 4) * 25, host = pick(0, (100 - device) / 25) * 25;
    percent.push_back(static_cast<double>(device));
    percent.push_back(static_cast<double>(host));
  }
  memory::set_percent(c.policy, percent);
  c.policy.attention = static_cast<memory::AttentionPlace>(pick(0, 2));
  c.policy.x_cache = pick(0, 2) == 0;
  c.policy.attention_share = 0.1 * static_cast<double>(pick(1, 9));
  c.policy.gpu_batch_size = pick(1, 4);
  c.policy.gpu_batches = pick(1, 3);
  c.policy.micro_batches = pick(0, 3);
  if (pick(0, 2) == 0) c.policy.stages = memory::Stages::looped;
  c.policy.chunk_layers = pick(1, 2);
  c.policy.prefill_pieces = pick(0, 6);
  std::vector<memory::Sequence> sequences;
  const auto count = c.policy.prompts_in_flight(c.ranks) + pick(0, 5);  // perhaps a second, smaller round
  for (std::int64_t i = 0; i < count; ++i) sequences.push_back({i, pick(1, 60), pick(3, 5)});
  c.rounds = memory::make_rounds(sequences, c.policy, c.ranks);
  return c;
}

// Bytes of buffers of each kind; of keys and values, the most that any round has.
std::map<BufferKind, Bytes> program_account(const Case& c, const StagePlan& plan,
                                            const model::StageSlice& slice, int rank) {
  std::map<BufferKind, Bytes> most;
  for (const auto& round : c.rounds) {
    const auto kv = lay_out_kv(c.config, slice, round, c.policy, plan.needs.kv);
    const auto program =
        schedule::build_program(schedule_parameters(plan, slice, round, kv, Rank(rank), c.ranks));
    EXPECT_TRUE(schedule::find_faults(program).empty());
    EXPECT_LE(program.steps.size(), static_cast<std::size_t>(most_steps(plan, slice, round)));
    EXPECT_GE(program.steps.size() * 2, static_cast<std::size_t>(most_steps(plan, slice, round)));
    std::map<BufferKind, Bytes> bytes;
    for (const auto& buffer : program.buffers) bytes[buffer.kind] += buffer.bytes;
    bytes[BufferKind::kv_host] += std::exchange(bytes[BufferKind::kv_cpu], 0);  // one home
    std::array<Bytes, 3> sums{};
    for (const auto& buffer : program.buffers) sums[static_cast<std::size_t>(buffer.tier)] += buffer.bytes;
    EXPECT_EQ(sums, schedule::buffer_bytes(program));
    for (const auto& [kind, sum] : bytes) most[kind] = std::max(most[kind], sum);
  }
  return most;
}

TEST(Ledger, EqualsTheValidatorsAccount) {
  std::mt19937 random(7);
  for (int i = 0; i < 120; ++i) {
    Case c = draw(random);
    if (i % 2 == 0) c.policy.weight_format = StorageFormat::q4;
    c.policy.keep_widened = i % 4 == 0;
    const bool looped = c.policy.stages == memory::Stages::looped;
    const auto slices = looped ? model::loop_stages(c.config, c.ranks, c.policy.chunk_layers)
                               : model::balance_stages(c.config, c.ranks);
    for (int rank = 0; rank < c.ranks; ++rank) {
      SCOPED_TRACE(fmt::format(
          "policy {}, rank {} of {}, {} ({}), {}, attention {}: weights {}/{}, KV {}/{}, activations {}/{}, "
          "{} pieces",
          i, rank, c.ranks, to_string(slices[static_cast<std::size_t>(rank)]), c.policy.micro_batches,
          name_of(c.backend), c.policy.x_cache ? "of X" : name_of(c.policy.attention),
          c.policy.weights.device, c.policy.weights.host, c.policy.kv.device, c.policy.kv.host,
          c.policy.hidden.device, c.policy.hidden.host, c.policy.prefill_pieces));
      const auto& slice = slices[static_cast<std::size_t>(rank)];
      const StagePlan plan =
          plan_stage({c.config, slice, DType::f16, c.rounds, c.policy, c.ranks, c.backend});
      auto of = program_account(c, plan, slice, rank);
      using enum BufferKind;
      // One buffer is a hidden state's home on the device and on the host. Resident weights and what lives
      // inside a step are no buffers of the program.
      const auto homes = plan.hidden.all_homes();
      EXPECT_EQ(of[hidden_home], homes[0] + homes[1]);
      EXPECT_EQ(of[attention], plan.needs.attention_bytes + plan.needs.decode_bytes);
      EXPECT_EQ(of[host_rows], plan.needs.host_rows_bytes);
      const Bytes device = pages(plan.weights.bytes[0] + of[weight_slot]) +
                           pages(of[kv_device] + of[kv_slot]) + pages(homes[0] + of[hidden_work]) +
                           pages(of[attention] + plan.needs.scratch_bytes) + plan.needs.library_bytes +
                           pages(plan.needs.graph_bytes) + pages(plan.needs.x_bytes) +
                           pages(plan.needs.widened_bytes);
      EXPECT_EQ(plan.needs.x_bytes > 0, c.policy.x_cache);
      EXPECT_EQ(plan.needs.widened_bytes > 0, c.backend == Backend::cuda && c.policy.keep_widened);
      const Bytes host = pages(plan.weights.bytes[1] + of[weight_stage]) +
                         pages(of[kv_host] + of[kv_stage] + of[kv_write_stage]) +
                         pages(homes[1] + of[hidden_stage] + of[hidden_write_stage]) +
                         pages(plan.needs.graph_bytes) + pages(plan.needs.small_bytes) +
                         pages(of[host_rows]) + pages(plan.needs.token_bytes) + pages(plan.needs.link_bytes);
      const Ledger ledger = arenas(plan);
      if (c.backend == Backend::cuda) {
        EXPECT_EQ(ledger.total(Place::gpu), device);
        EXPECT_EQ(ledger.total(Place::pinned), host);
      } else {
        EXPECT_EQ(ledger.total(Place::gpu) + ledger.total(Place::pinned), 0U);
        EXPECT_EQ(ledger.total(Place::plain), device + host);
      }
      EXPECT_EQ(ledger.total(Place::disk), plan.weights.bytes[2] + of[kv_disk] + of[hidden_disk]);
      EXPECT_EQ(ledger.total(Place::disk), plan.disk_bytes);
    }
  }
}

}  // namespace
}  // namespace optpipe::planner
