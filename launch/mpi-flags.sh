# Sourced by scripts that call mpirun: the flags in mpirun_flags let any number of ranks run anywhere, containers included.
#   --oversubscribe       more ranks than cores (a laptop, a test machine)
#   --bind-to none        optpipe shares the cores out itself
#   --allow-run-as-root   containers often have no other user
# shellcheck shell=bash
mpirun_flags=(--oversubscribe --bind-to none)
if ((EUID == 0)); then
  mpirun_flags+=(--allow-run-as-root)
fi
# Open MPI 4 warns about memory binding that containers refuse and that nothing here depends on.
mpirun_flags+=(--mca hwloc_base_mem_bind_failure_action silent)
# Threads that wait should sleep: ranks may share cores, and spinning ones would take them from those that compute.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
mpirun_flags+=(-x OMP_WAIT_POLICY)
