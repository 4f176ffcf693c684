// launch/mpirun.sh: what it runs, on what, and what it refuses.
#include <signal.h>

#include <thread>

#include "cli/running.hpp"

namespace optpipe::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class MpirunScript : public ::testing::Test {
 protected:
  Words environment_{"OPTPIPE=" + program(), "CUDA_VISIBLE_DEVICES=", "OMP_NUM_THREADS=1"};

  Finished run(const Words& words) const {
    return run_process(Words{"bash", source_file("launch/mpirun.sh")} + words, "",
                       environment_ + mpi_may_leak());
  }
  Words dry(const Words& words) const {
    return Words{"--dry-run"} + words + Words{"generate", "--model", "m"};
  }

  // A program of that name which says `version` when it is asked, and the folder first on PATH.
  void pretend(const std::string& name, const std::string& version) {
    write_file(folder_ / name, "#!/bin/sh\necho '" + version + "'\n");
    std::filesystem::permissions(folder_ / name, std::filesystem::perms::owner_all);
  }

  const Folder folder_;
};

void expect_usage_error(const Finished& finished, const Words& parts) {
  EXPECT_EQ(finished.status, 2) << finished.err;
  EXPECT_EQ(finished.out, "");
  for (const auto& part : Words{"mpirun.sh: "} + parts) EXPECT_THAT(finished.err, HasSubstr(part));
}

// As root or not, with more ranks than cores: the text, and not a word of mpirun's.
TEST_F(MpirunScript, RunsOnThisNode) {
  for (const Words& ranks :
       {Words{"-n", "3"}, Words{"--hostfile", source_file("hostfiles/one-node").string()}}) {
    const auto finished = run(ranks + generate({"--prompt", "Paris is the capital city of"}));
    EXPECT_EQ(finished.status, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("France"));
    EXPECT_THAT(finished.err, HasSubstr(ranks[0] == "-n" ? "over 3 rank(s)" : "over 4 rank(s)"));
    for (const std::string noise : {"WARNING", "warning", "memory binding", "------"})
      EXPECT_THAT(finished.err, Not(HasSubstr(noise)));
  }
}

TEST_F(MpirunScript, TakesRanksFromHostfiles) {
  EXPECT_THAT(run(dry({"--hostfile", source_file("hostfiles/two-nodes")})).out,
              HasSubstr(" -n 8 --hostfile "));
  EXPECT_THAT(run(dry({"--hostfile", source_file("hostfiles/uneven")})).out, HasSubstr(" -n 7 --hostfile "));
}

TEST_F(MpirunScript, ChoosesNetworks) {
  const Words nodes{"--hostfile", source_file("hostfiles/two-nodes")};
  const auto chosen = run(dry(nodes)).out;
  EXPECT_THAT(chosen, HasSubstr("btl_tcp_if_exclude 127.0.0.0/8"));
  EXPECT_THAT(chosen, Not(HasSubstr("if_include")));
  const auto named = run(dry(nodes + Words{"--interface", "ib0"})).out;
  EXPECT_THAT(named, HasSubstr("btl_tcp_if_include ib0"));
  EXPECT_THAT(named, ::testing::ContainsRegex("(oob_tcp|prte)_if_include ib0"));
  EXPECT_THAT(named, Not(HasSubstr("if_exclude")));
  EXPECT_THAT(run(dry({"-n", "2"})).out, Not(HasSubstr("btl_tcp"))) << "one node needs no network";
}

// Open MPI 4 would start all ranks on this node, and say nothing.
TEST_F(MpirunScript, DoesNotTakeOneNodeForTwo) {
  const std::string nodes = "10.255.255.1 slots=1\n10.255.255.2 slots=1\n";
  write_file(folder_ / "nodes", nodes);
  environment_.push_back("OMPI_MCA_plm=isolated");
  const auto finished =
      run({"--hostfile", folder_ / "nodes", "--rsh", "/no/such/agent", "generate", "--model", "m"});
  EXPECT_NE(finished.status, 0);
  EXPECT_THAT(finished.err, HasSubstr("/no/such/agent"));
  EXPECT_THAT(run(dry({"--hostfile", source_file("hostfiles/one-node")})).out, Not(HasSubstr("isolated")))
      << "one node needs nothing that reaches others";
}

TEST_F(MpirunScript, KnowsOpenMpi5) {
  pretend("mpirun", "mpirun (Open MPI) 5.0.3");
  pretend("optpipe", "MPI: Open MPI v5.0.3");
  environment_ = {"OPTPIPE=" + folder_ / "optpipe", "MPIRUN=" + folder_ / "mpirun"};
  const auto finished =
      run(dry({"--hostfile", source_file("hostfiles/two-nodes"), "--rsh", "my-agent", "--interface", "ib0"}));
  EXPECT_EQ(finished.status, 0) << finished.err;
  for (const std::string part :
       {"--map-by slot:OVERSUBSCRIBE", "--prtemca prte_if_include ib0", "--prtemca plm_ssh_agent my-agent"})
    EXPECT_THAT(finished.out, HasSubstr(part));
  const auto any_network = run(dry({"--hostfile", source_file("hostfiles/two-nodes")})).out;
  EXPECT_THAT(any_network, HasSubstr("--mca btl_tcp_if_exclude 127.0.0.0/8"));
  for (const std::string part : {"prtemca oob_tcp_if", "prte_if", "isolated"})
    EXPECT_THAT(any_network, Not(HasSubstr(part)));
}

TEST_F(MpirunScript, RefusesTheMpirunOfAnotherMpi) {
  pretend("mpirun", "HYDRA build details: Version: 4.1");
  environment_.push_back("MPIRUN=" + folder_ / "mpirun");
  expect_usage_error(run(dry({"-n", "2"})), {"is not Open MPI's"});
  pretend("mpirun", "mpirun (Open MPI) 77.0.1");
  expect_usage_error(run(dry({"-n", "2"})), {"Open MPI 77", "linked with Open MPI", "MPIRUN"});
}

TEST_F(MpirunScript, RefusesWhatItCannotUse) {
  expect_usage_error(run({}), {"there is no command"});
  expect_usage_error(run({"-n", "0", "generate"}), {"-n 0"});
  expect_usage_error(run({"--bogus", "x", "generate"}), {"--bogus"});
  expect_usage_error(run({"--hostfile", "/no/such/file", "generate"}), {"/no/such/file"});
  write_file(folder_ / "empty", "# no nodes\n");
  expect_usage_error(run({"--hostfile", folder_ / "empty", "generate"}), {"names no nodes"});
  environment_[0] = "OPTPIPE=/no/such/program";
  expect_usage_error(run({"-n", "1", "generate"}), {"/no/such/program"});
}

// SIGTERM, which mpirun would pass on as an order to die, is a request here.
TEST_F(MpirunScript, StopsInPeace) {
  std::string lines;
  for (int i = 0; i < 4000; ++i) lines += "{\"prompt\":\"Madrid\"}\n";
  write_file(folder_ / "in.jsonl", lines);
  const std::string output = folder_ / "out.jsonl", log = folder_ / "log";
  const auto words = Words{"bash", source_file("launch/mpirun.sh"), "-n", "2"} +
                     generate({"--input", folder_ / "in.jsonl", "--output", output, "--gpu-batch-size", "1"});
  auto run =
      std::async(std::launch::async, [&] { return run_process(words, "", environment_ + mpi_may_leak()); });
  for (int i = 0; i < 12000 && journaled_prompts(output) < 2; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ASSERT_GE(journaled_prompts(output), 2);
  const pid_t script = process_with({"launch/mpirun.sh", folder_.path()});
  ASSERT_GT(script, 0);
  EXPECT_EQ(kill(script, SIGTERM), 0);
  const auto finished = run.get();
  EXPECT_EQ(finished.status, 1) << finished.err;
  ASSERT_EQ(error_lines(finished.err).size(), 1u) << finished.err;
  EXPECT_THAT(error_lines(finished.err)[0], HasSubstr("stopped by SIGUSR1"));
  EXPECT_EQ(process_with({folder_.path()}), 0);
}

}  // namespace
}  // namespace optpipe::test
