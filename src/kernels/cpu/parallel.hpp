// The one place where kernels start threads.
#pragma once

#include <cstdint>
#include <exception>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "kernels/cpu/team_threads.hpp"

namespace optpipe::kernels {

// body(i) for i in 0 .. count - 1, each once, on up to `threads` threads, in no particular order. Safe on
// several calling threads at a time. The first exception of a body is thrown again here, after all threads
// are done.
template <class Body>
void parallel_for(std::int64_t count, int threads, const Body& body) {
#ifdef _OPENMP
  if (threads > 1 && count > 1) {
    std::exception_ptr failure;
#pragma omp parallel num_threads(threads)
    {
      join_team(omp_get_thread_num(), omp_get_num_threads());
#pragma omp for schedule(dynamic, 1) nowait
      for (std::int64_t i = 0; i < count; ++i) {
        try {
          body(i);
        } catch (...) {
#pragma omp critical(optpipe_kernels_failure)
          if (!failure) failure = std::current_exception();
        }
      }
    }
    if (failure) std::rethrow_exception(failure);
    return;
  }
#endif
  static_cast<void>(threads);
  for (std::int64_t i = 0; i < count; ++i) body(i);
}

}  // namespace optpipe::kernels
