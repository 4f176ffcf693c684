# Sourced by scripts that call mpirun: the flags in mpirun_flags let any number of ranks run anywhere, containers included, with
# Open MPI 4.1 and 5.
#   --oversubscribe       more ranks than cores (a laptop, a test machine); Open MPI 5 calls it a modifier of --map-by
#   --bind-to none        optpipe shares the cores out itself
#   --allow-run-as-root   containers often have no other user
# shellcheck shell=bash
mpirun_version=$(mpirun --version 2>/dev/null | sed -n 's/^mpirun (Open MPI) \([0-9]*\).*/\1/p')
if ((${mpirun_version:-4} >= 5)); then
  mpirun_flags=(--map-by slot:OVERSUBSCRIBE --bind-to none)
else
  # It warns about memory binding that containers refuse and that nothing here depends on.
  mpirun_flags=(--oversubscribe --bind-to none --mca hwloc_base_mem_bind_failure_action silent)
fi
if ((EUID == 0)); then
  mpirun_flags+=(--allow-run-as-root)
fi
# Threads that wait should sleep: ranks may share cores, and spinning ones would take them from those that compute.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
mpirun_flags+=(-x OMP_WAIT_POLICY)
