#!/usr/bin/env bash
# Builds optpipe and runs all its tests: bash tests/run.sh [--preset default|asan|tsan] [--gpu] [ctest arguments ...]
#   --gpu   only the tests that need a GPU
# Tests that need what a machine may lack (root, a GPU, a daemon) say so when they are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=default
if [[ ${1:-} == --preset ]]; then
  preset=$2
  shift 2
fi
if [[ ${1:-} == --gpu ]]; then
  shift
  set -- -L gpu "$@"
fi
bash launch/install-deps.sh --tests
bash launch/build.sh "$preset"
# Tests that use several threads or ranks run alone; the others as many at a time as there are cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
ctest --preset "$preset" -j"$(nproc)" "$@"

# Where clang has libFuzzer: the fuzz targets under it, for a few seconds each. (The driver in every build has replayed their corpora
# already.)
has_libfuzzer() { echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }' |
  clang++ -x c++ -fsanitize=fuzzer,address -o /dev/null - 2>/dev/null; }
if [[ $preset == default && $# -eq 0 ]] && has_libfuzzer; then
  bash launch/build.sh fuzz
  ctest --preset fuzz -j"$(nproc)"
fi
