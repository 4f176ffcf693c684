// Which policies fit which machines, on any machine: the lab notebook's OPT-30B on a node with 125 GiB, and
// others.
#include "optpipe/planner/nearest.hpp"

#include <gtest/gtest.h>

#include "optpipe/planner/refusal.hpp"

namespace optpipe::planner {
namespace {

RankResources gpu_rank(Bytes gpu, Bytes host, Bytes disk) {
  RankResources rank;
  rank.host = "node";
  rank.backend = Backend::cuda;
  rank.gpu = "0000:65:00.0";
  rank.gpu_memory = {gpu, "--gpu-mem"};
  rank.host_memory = {host, "--host-mem"};
  rank.disk = {{disk, "--disk-space"}, "1", false};
  return rank;
}

RunRequest make_run(const char* model, int ranks, std::int64_t prompts, const RankResources& each) {
  RunRequest run;
  run.config = model::config_of_size(model);
  run.slices = model::balance_stages(run.config, ranks);
  for (int i = 0; i < ranks; ++i) {
    run.ranks.push_back(each);
    if (!each.gpu.empty()) run.ranks.back().gpu += std::to_string(i);
  }
  for (std::int64_t i = 0; i < prompts; ++i) run.sequences.push_back({i, 512, 32});
  return run;
}

memory::Policy policy(std::vector<double> percent, std::int64_t size, std::int64_t batches) {
  memory::Policy made{.gpu_batch_size = size, .gpu_batches = batches};
  memory::set_percent(made, percent);
  return made;
}

bool fits(const RunRequest& run, const memory::Policy& asked) {
  return find_shortages(run, plan_run(run, asked)).empty();
}

const std::vector<double> kNotebook{20, 80, 0, 100, 0, 100};

// A GPU on which the policy leaves no room for more.
RunRequest notebook(std::int64_t batches, Bytes gpu = 24 * kGiB, Bytes disk = 0) {
  return make_run("opt-30b", 1, 48 * batches, gpu_rank(gpu, 125 * kGiB, disk));
}

TEST(Nearest, TheNotebooksPoliciesAreRefused) {
  for (const std::int64_t batches : {4, 3}) {
    const RunRequest run = notebook(batches);
    const auto asked = policy(kNotebook, 48, batches);
    const auto shortages = find_shortages(run, plan_run(run, asked));
    ASSERT_EQ(shortages.size(), 1U);
    EXPECT_EQ(shortages[0].place, Place::plain);
    EXPECT_EQ(shortages[0].available, 125 * kGiB);
    const double wanted = static_cast<double>(shortages[0].wanted) / static_cast<double>(kGiB);
    EXPECT_NEAR(wanted, batches == 4 ? 180 : 146, 3);
    const auto nearest = find_nearest(run, asked);
    ASSERT_TRUE(nearest);
    EXPECT_EQ(flags_of(nearest->policy),
              "--percent 20 80 0 100 0 100 --gpu-batch-size 48 --num-gpu-batches 2");
    const auto text = refusal(run, asked, shortages);
    for (const char* part : {"rank 0 on node wants 1", "125.000 GiB are left (--host-mem)", "KV cache 1",
                             "weights 4", "--gpu-batch-size 48 --num-gpu-batches 2", "prompts in flight",
                             "with --kv-format x all of it fits as asked"})
      EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
    EXPECT_EQ(text.find('\n'), std::string::npos);
    auto on_cores = asked;  // which cannot attend to X
    on_cores.attention = memory::AttentionPlace::cpu;
    EXPECT_NE(refusal(run, on_cores, shortages).find("with --compress-"), std::string::npos);
  }
  EXPECT_TRUE(fits(notebook(2), policy(kNotebook, 48, 2)));
}

// With 4-bit weights and keys and values, 48x4 and 48x1 fit, also on the notebook's machine.
TEST(Nearest, TheNotebooksPoliciesFitCompressed) {
  for (const std::int64_t batches : {4, 1}) {
    auto asked = policy(kNotebook, 48, batches);
    asked.weight_format = asked.kv_format = StorageFormat::q4;
    EXPECT_TRUE(fits(notebook(batches), asked)) << batches;
  }
  auto only_kv = policy(kNotebook, 48, 4);
  only_kv.kv_format = StorageFormat::q4;
  EXPECT_TRUE(fits(notebook(4), only_kv));
  auto only_weights = policy(kNotebook, 48, 4);
  only_weights.weight_format = StorageFormat::q4;
  EXPECT_FALSE(fits(notebook(4), only_weights));
}

// What is pasted must fit: formats that were asked for are part of it.
TEST(Nearest, FlagsToPasteKeepTheFormats) {
  const RunRequest run = make_run("opt-30b", 1, 48 * 8, gpu_rank(24 * kGiB, 60 * kGiB, 0));
  auto asked = policy(kNotebook, 48, 8);
  asked.weight_format = asked.kv_format = StorageFormat::q4;
  const auto text = refusal(run, asked, find_shortages(run, plan_run(run, asked)));
  EXPECT_NE(text.find(" --weight-format 4bit --kv-format 4bit ("), std::string::npos) << text;
}

// A disk would take what is missing, but much more slowly than a smaller batch gives it up.
TEST(Nearest, ADiskIsWorseThanFewerPrompts) {
  const auto nearest = find_nearest(notebook(3, 24 * kGiB, 4096 * kGiB), policy(kNotebook, 48, 3));
  ASSERT_TRUE(nearest);
  EXPECT_EQ(nearest->policy.gpu_batches, 2);
}

TEST(Nearest, AGpuWithRoomKeepsAllPrompts) {
  const RunRequest run = notebook(3, 79 * kGiB);
  const auto nearest = find_nearest(run, policy(kNotebook, 48, 3));
  ASSERT_TRUE(nearest);
  EXPECT_TRUE(fits(run, nearest->policy));
  EXPECT_EQ(nearest->policy.gpu_batches, 3);
  EXPECT_GT(nearest->policy.weights.device + nearest->policy.kv.device, 20);
}

TEST(Nearest, WeightsLeaveTheGpuWhereTheyDoNotFit) {
  const RunRequest run = make_run("opt-30b", 1, 32, gpu_rank(79 * kGiB, 125 * kGiB, 0));
  const auto asked = policy({100, 0, 100, 0, 100, 0}, 32, 1);
  ASSERT_FALSE(fits(run, asked));
  const auto nearest = find_nearest(run, asked);
  ASSERT_TRUE(nearest);
  EXPECT_TRUE(fits(run, nearest->policy));
  EXPECT_EQ(nearest->policy.gpu_batch_size, 32);                               // all prompts stay
  EXPECT_GE(nearest->policy.weights.device + nearest->policy.kv.device, 165);  // most stays
  EXPECT_EQ(nearest->policy.weights.disk() + nearest->policy.kv.disk(), 0);
  ASSERT_FALSE(nearest->changes.empty());
  EXPECT_NE(nearest->changes[0].find("to host"), std::string::npos) << nearest->changes[0];
}

TEST(Nearest, TheDiskTakesWhatNothingElseCan) {
  const RunRequest run = make_run("opt-30b", 1, 1, gpu_rank(8 * kGiB, 16 * kGiB, 100 * kGiB));
  const auto asked = policy({100, 0, 100, 0, 100, 0}, 1, 1);
  const auto nearest = find_nearest(run, asked);
  ASSERT_TRUE(nearest);
  EXPECT_TRUE(fits(run, nearest->policy));
  EXPECT_GT(nearest->policy.weights.disk(), 40);
}

TEST(Nearest, RanksOfANodeShareItsMemory) {
  RunRequest run = make_run("opt-30b", 4, 96, gpu_rank(79 * kGiB, 40 * kGiB, 0));
  const auto asked = policy({0, 100, 100, 0, 100, 0}, 24, 1);
  const auto shortages = find_shortages(run, plan_run(run, asked));
  ASSERT_EQ(shortages.size(), 1U);
  EXPECT_EQ(shortages[0].ranks, (std::vector{0, 1, 2, 3}));
  EXPECT_NE(refusal(run, asked, shortages).find("ranks 0-3 on node want "), std::string::npos);
  for (std::size_t i = 0; i < run.ranks.size(); ++i) run.ranks[i].host = "node" + std::to_string(i);
  EXPECT_TRUE(fits(run, asked));
}

TEST(Nearest, CpuRanksMoveToDisk) {
  RankResources rank;
  rank.host = "laptop";
  rank.host_memory = {8 * kGiB, "MemAvailable"};
  rank.disk = {{100 * kGiB, "free"}, "1", false};
  const RunRequest run = make_run("opt-6.7b", 1, 4, rank);
  const auto asked = policy({100, 0, 100, 0, 100, 0}, 4, 1);
  const auto nearest = find_nearest(run, asked);
  ASSERT_TRUE(nearest);
  EXPECT_TRUE(fits(run, nearest->policy));
  EXPECT_GT(nearest->policy.weights.disk() + nearest->policy.kv.disk(), 0);
  // On tmpfs the disk tier is the same memory.
  RunRequest in_memory = run;
  in_memory.ranks[0].disk.in_memory = true;
  EXPECT_FALSE(fits(in_memory, nearest->policy));
}

TEST(Nearest, SaysSoWhereNothingFits) {
  const RunRequest run = make_run("opt-30b", 1, 2, gpu_rank(40 * kGiB, 2 * kGiB, 0));
  const auto asked = policy({0, 0, 0, 0, 0, 0}, 2, 1);
  EXPECT_NE(refusal(run, asked, find_shortages(run, plan_run(run, asked))).find("use more ranks"),
            std::string::npos);
}

}  // namespace
}  // namespace optpipe::planner
