#!/usr/bin/env bash
# Configures and builds one preset: build.sh [default|cuda|asan|tsan] [target ...]
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:-default}
shift || true
cmake --preset "$preset" >/dev/null || { cmake --preset "$preset"; exit 1; }
if (($#)); then
  cmake --build --preset "$preset" --target "$@"
else
  cmake --build --preset "$preset"
fi
