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
bash launch/install-deps.sh
bash launch/build.sh "$preset"
# Tests that use several threads or ranks run alone; the others as many at a time as there are cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
ctest --preset "$preset" -j"$(nproc)" "$@"
