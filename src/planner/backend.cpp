#include "optpipe/planner/backend.hpp"

namespace optpipe::planner {

const char* name_of(Backend backend) { return backend == Backend::cuda ? "cuda" : "cpu"; }

}  // namespace optpipe::planner
