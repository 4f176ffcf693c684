#include "optpipe/base/environment.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace optpipe {
namespace {

class EnvironmentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE", "PMI_RANK",
                             "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "OMP_NUM_THREADS", "PRTE_LAUNCHED"})
      unsetenv(name);
  }
  void set(const char* name, const char* value) { setenv(name, value, 1); }
};

TEST_F(EnvironmentTest, StartedAlone) {
  EXPECT_FALSE(launch_environment().size);
  EXPECT_EQ(launch_environment().launcher, "");
}

TEST_F(EnvironmentTest, LaunchersAreRecognized) {
  set("SLURM_STEP_NUM_TASKS", "3");
  set("SLURM_PROCID", "2");
  EXPECT_EQ(launch_environment().launcher, "Slurm srun");
  EXPECT_EQ(launch_environment().size, 3);
  set("PMI_SIZE", "4");
  set("PMI_RANK", "1");
  EXPECT_EQ(launch_environment().size, 4);
  EXPECT_EQ(launch_environment().rank, 1);
  set("OMPI_COMM_WORLD_SIZE", "2");
  EXPECT_EQ(launch_environment().launcher, "Open MPI") << "mpirun inside a Slurm step counts";
}

TEST_F(EnvironmentTest, OpenMpi5DoesNotForwardInput) {
  EXPECT_TRUE(launch_environment().forwards_input);
  set("OMPI_COMM_WORLD_SIZE", "2");
  EXPECT_TRUE(launch_environment().forwards_input);
  set("PRTE_LAUNCHED", "1");
  EXPECT_FALSE(launch_environment().forwards_input);
}

// A batch script's own step has one task; that is no launch of several.
TEST_F(EnvironmentTest, OneSlurmTaskIsAlone) {
  set("SLURM_STEP_NUM_TASKS", "1");
  EXPECT_FALSE(launch_environment().size);
}

TEST_F(EnvironmentTest, Threads) {
  EXPECT_FALSE(omp_num_threads());
  set("OMP_NUM_THREADS", "12");
  EXPECT_EQ(omp_num_threads(), 12);
  set("OMP_NUM_THREADS", "4,2");
  EXPECT_EQ(omp_num_threads(), 4);
  for (const char* nonsense : {"", "many", "0", "-3", "4x"}) {
    set("OMP_NUM_THREADS", nonsense);
    EXPECT_FALSE(omp_num_threads()) << nonsense;
  }
}

}  // namespace
}  // namespace optpipe
