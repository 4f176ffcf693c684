// A system that refuses what containers refuse, for tests.
#pragma once

namespace optpipe::test {

// From now on the kernel answers this process, and those that it starts, with EPERM to what binds memory and
// asks about it (mbind, set_mempolicy, get_mempolicy, move_pages) and to io_uring, as Docker's profile does.
// False where this system lets no process install a filter.
bool refuse_what_containers_refuse();

}  // namespace optpipe::test
