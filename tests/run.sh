#!/usr/bin/env bash
# Builds optpipe and runs all its tests: bash tests/run.sh [--preset default|asan|tsan] [ctest arguments ...]
# Tests that need what a machine may lack (root, a GPU, a daemon) say so when they are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=default
if [[ ${1:-} == --preset ]]; then
  preset=$2
  shift 2
fi
bash launch/install-deps.sh
bash launch/build.sh "$preset"
# Tests that use several threads or ranks run alone; the others as many at a time as there are cores.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} ctest --preset "$preset" -j"$(nproc)" "$@"
