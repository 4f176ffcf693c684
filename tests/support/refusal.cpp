#include "support/refusal.hpp"

#include <seccomp.h>

#include <cerrno>
#include <initializer_list>

namespace optpipe::test {

bool refuse_what_containers_refuse() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) return false;
  bool made = true;
  for (const int call :
       {SCMP_SYS(mbind), SCMP_SYS(set_mempolicy), SCMP_SYS(get_mempolicy), SCMP_SYS(move_pages),
        SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register)})
    made = made && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0) == 0;
  made = made && seccomp_load(filter) == 0;
  seccomp_release(filter);
  return made;
}

}  // namespace optpipe::test
