#!/usr/bin/env bash
# From a fresh clone to generated text: installs what is missing, builds, and runs the bundled model over two ranks.
#   bash launch/quickstart.sh ["Your prompt"]
set -euo pipefail
cd "$(dirname "$0")/.."

prompt=${1:-"Paris is the capital city of"}
bash launch/install-deps.sh
bash launch/build.sh default optpipe
source launch/mpi-flags.sh

command=(mpirun -n 2 "${mpirun_flags[@]}" build/default/bin/optpipe generate
  --model models/tiny-opt --prompt "$prompt" --max-new-tokens 24)
echo
echo "\$ ${command[*]@Q}"
echo "$prompt"
OMP_NUM_THREADS=1 timeout 120 "${command[@]}"
