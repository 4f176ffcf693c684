// The conformance suite on the ranks that mpirun started. Exit status 0: all passed on all of them.
#include "optpipe/comm/mpi.hpp"

#include <cstdio>

#include "unit/comm/conformance.hpp"

int main() {
  using namespace optpipe;
  const auto transport = comm::connect(comm::Seconds(60));
  if (transport->size() < 2) {
    std::fprintf(stderr, "test_comm_mpi needs several ranks: start it with mpirun\n");
    return 1;
  }
  for (const auto& check : comm::conformance::kChecks) {
    try {
      check.run(*transport);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "rank %d: %s: %s\n", transport->rank().value, check.name, error.what());
      transport->abort(ExitStatus::failure, error.what());
    }
    if (transport->is_first()) std::printf("%s on %d ranks: passed\n", check.name, transport->size());
  }
  return 0;
}
