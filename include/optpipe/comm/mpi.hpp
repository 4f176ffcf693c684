// The MPI transport: host memory, any MPI-3 library. Where the program was built without MPI, connect()
// serves one rank and refuses several.
#pragma once

#include <memory>
#include <string>

#include "optpipe/comm/transport.hpp"

namespace optpipe::comm {

// Connects the ranks that a launcher started; a process started alone gets a transport for one rank, and MPI
// is left alone. Throws UsageError where the launcher belongs to another MPI than the one linked (every
// process would take itself for rank 0). At most one MPI transport exists in a process; its end finalizes
// MPI.
std::unique_ptr<Transport> connect(Seconds timeout);

// "Open MPI v4.1.4 ...", or "none" where built without.
std::string mpi_library();

}  // namespace optpipe::comm
