// Makes a GPU fail on request: preloaded (LD_PRELOAD) into a rank, it stands in front of the CUDA runtime's
// calls. With
//
//   OPTPIPE_TEST_FAULT="RANK CALL NUMBER KIND"
//
// the call named CALL (cudaEventRecord, say), when it comes for the NUMBERth time on rank RANK, meets with
// KIND:
//
// - address: a kernel on that call's stream writes where no memory is, a real error, from which no process
// recovers;
// - trap: a kernel on that stream stops with a trap, the same;
// - a number: the call returns that cudaError_t, and so does every later call, as after a real one;
// - once:a number: the call alone returns it.
//
// It belongs to the tests; the program knows nothing of it.
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "gpu/failing_kernels.hpp"

namespace {

struct Fault {
  std::string call, kind;
  long number = 0;
};

Fault read_fault() {
  const char* text = std::getenv("OPTPIPE_TEST_FAULT");
  const char* own = std::getenv("OMPI_COMM_WORLD_RANK");
  char call[64] = "", kind[64] = "";
  Fault fault;
  int rank = 0;
  if (text == nullptr) return fault;
  if (std::sscanf(text, "%d %63s %ld %63s", &rank, call, &fault.number, kind) != 4) {
    std::fprintf(stderr, "cuda_fault: OPTPIPE_TEST_FAULT=\"%s\" is not RANK CALL NUMBER KIND\n", text);
    std::abort();
  }
  if (rank == (own == nullptr ? 0 : std::atoi(own))) fault.call = call, fault.kind = kind;
  return fault;
}

const Fault& fault() {
  static const Fault value = read_fault();
  return value;
}

std::atomic<long> calls{0};
std::atomic<int> lasting{cudaSuccess};

cudaError_t begin_fault(cudaStream_t stream) {
  const std::string& kind = fault().kind;
  std::fprintf(stderr, "cuda_fault: %s at %s %ld\n", kind.c_str(), fault().call.c_str(), fault().number);
  if (kind == "address") {
    optpipe::test::launch_illegal_store(stream);
    return cudaSuccess;
  }
  if (kind == "trap") {
    optpipe::test::launch_trap(stream);
    return cudaSuccess;
  }
  if (kind.rfind("once:", 0) == 0) return static_cast<cudaError_t>(std::atoi(kind.c_str() + 5));
  lasting = std::atoi(kind.c_str());
  return static_cast<cudaError_t>(lasting.load());
}

cudaError_t meet(const char* call, cudaStream_t stream) {
  if (const int status = lasting; status != cudaSuccess) return static_cast<cudaError_t>(status);
  if (fault().call == call && ++calls == fault().number) return begin_fault(stream);
  return cudaSuccess;
}

}  // namespace

#define STAND_IN(call, parameters, arguments, stream)                                              \
  extern "C" cudaError_t call parameters {                                                         \
    static const auto real = reinterpret_cast<cudaError_t(*) parameters>(dlsym(RTLD_NEXT, #call)); \
    if (const cudaError_t status = meet(#call, stream); status != cudaSuccess) return status;      \
    return real arguments;                                                                         \
  }

STAND_IN(cudaMalloc, (void** memory, size_t bytes), (memory, bytes), nullptr)
STAND_IN(cudaFree, (void* memory), (memory), nullptr)
STAND_IN(cudaHostRegister, (void* memory, size_t bytes, unsigned flags), (memory, bytes, flags), nullptr)
STAND_IN(cudaHostUnregister, (void* memory), (memory), nullptr)
STAND_IN(cudaMemcpyAsync,
         (void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream),
         (to, from, bytes, kind, stream), stream)
STAND_IN(cudaEventRecord, (cudaEvent_t event, cudaStream_t stream), (event, stream), stream)
STAND_IN(cudaEventSynchronize, (cudaEvent_t event), (event), nullptr)
STAND_IN(cudaEventQuery, (cudaEvent_t event), (event), nullptr)
STAND_IN(cudaEventDestroy, (cudaEvent_t event), (event), nullptr)
STAND_IN(cudaStreamWaitEvent, (cudaStream_t stream, cudaEvent_t event, unsigned flags),
         (stream, event, flags), stream)
STAND_IN(cudaStreamSynchronize, (cudaStream_t stream), (stream), stream)
STAND_IN(cudaStreamDestroy, (cudaStream_t stream), (stream), stream)
STAND_IN(cudaGraphLaunch, (cudaGraphExec_t graph, cudaStream_t stream), (graph, stream), stream)
STAND_IN(cudaGetLastError, (), (), nullptr)
