#!/usr/bin/env bash
# launch/slurm.sbatch under a real Slurm of one node, which this test starts (munged, slurmctld, slurmd) in a folder of its own:
# the job is told to stop, goes back into the queue, and its output is that of an uninterrupted run.
# Arguments: the repository, the program.
set -uo pipefail
root=$1
export OPTPIPE=$2

skip() {
  echo "SKIPPED: $*"
  exit 77
}
fail() {
  echo "FAILED: $*" >&2
  tail -n 20 "$work"/*.log "$work"/job.out >&2 2>/dev/null
  exit 1
}
((EUID == 0)) || skip "slurmd takes root"
for program in munged slurmctld slurmd sbatch mpirun; do
  command -v $program >/dev/null || skip "there is no $program (packages slurm-wlm, munge)"
done

work=$(mktemp -d /tmp/optpipe-slurm-XXXXXX)
chmod 755 "$work"
daemons=()
clean_up() {
  scancel --me >/dev/null 2>&1
  local daemon
  for daemon in "${daemons[@]}"; do kill "$daemon" 2>/dev/null; done
  wait 2>/dev/null
  rm -rf "$work"
}
trap clean_up EXIT

mkdir -p "$work/munge" "$work/state" "$work/spool"
chmod 700 "$work/munge"
dd if=/dev/urandom of="$work/munge/key" bs=1024 count=1 status=none
chmod 400 "$work/munge/key"
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }
host=$(hostname -s)
cat >"$work/slurm.conf" <<CONF
ClusterName=optpipe
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CryptoType=crypto/munge
SlurmUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SchedulerParameters=batch_sched_delay=0,sched_interval=1,default_queue_depth=10
MinJobAge=300
KillWait=5
ReturnToService=2
SlurmctldTimeout=10
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
# slurmd asks for as many cores as the machine has, unless told that the file is right.
sed -i '1i SlurmdParameters=config_overrides' "$work/slurm.conf"
export SLURM_CONF=$work/slurm.conf

munged --foreground --force --socket="$work/munge/socket" --key-file="$work/munge/key" --pid-file="$work/munge/pid" \
  --log-file="$work/munged.log" --seed-file="$work/munge/seed" >/dev/null 2>&1 &
daemons+=($!)
for ((i = 0; i < 100; ++i)); do [[ ! -S $work/munge/socket ]] || break; sleep 0.1; done
slurmctld -D -i >"$work/slurmctld.log" 2>&1 &
daemons+=($!)
slurmd -D >"$work/slurmd.log" 2>&1 &
daemons+=($!)
for ((i = 0; i < 300; ++i)); do
  [[ $(sinfo -h -o %t 2>/dev/null) != idle ]] || break
  sleep 0.1
done
[[ $(sinfo -h -o %t 2>/dev/null) == idle ]] || fail "Slurm did not come up"

# First results come after a tenth of the run, on a fast machine, too.
for i in $(seq 40 119); do echo "{\"id\": $i, \"tokens\": [2, $i, 60], \"max_new_tokens\": $((i % 5 ? 120 : 10))}"; done >"$work/in.jsonl"
flags=(--ignore-eos --max-new-tokens 120 --gpu-batch-size 1 --device cpu)
export MODEL=$root/models/tiny-opt INPUT=$work/in.jsonl OUTPUT=$work/out.jsonl OPTPIPE_HOME=$root OMP_NUM_THREADS=1
export ASAN_OPTIONS=detect_leaks=0:exitcode=99
job=$(sbatch --parsable --nodes=1 --ntasks-per-node=3 --time=10 --output="$work/job.out" "$root/launch/slurm.sbatch" "${flags[@]}") ||
  fail "sbatch"
for ((i = 0; i < 600; ++i)); do
  (($(wc -l 2>/dev/null <"$OUTPUT.journal" || echo 0) < 4)) || break
  sleep 0.1
done
[[ -e $OUTPUT.journal && ! -e $OUTPUT ]] || fail "no results under way"
scancel --batch --signal=USR1 "$job" # what --signal=B:USR1@180 does before the time is up
for ((i = 0; i < 300; ++i)); do
  ! grep -q "goes back into the queue" "$work/job.out" || break
  sleep 0.1
done
grep -q "stopped by SIGUSR1" "$work/job.out" || fail "optpipe was not told"
grep -q "goes back into the queue" "$work/job.out" || fail "the job was not queued again"
finished=$(($(wc -l <"$OUTPUT.journal") - 1))
((finished > 0 && finished < 80)) || fail "$finished prompts are in the journal"
# A job that was queued again waits out its time, of two minutes; an administrator may let it go at once.
for ((i = 0; i < 200; ++i)); do
  [[ $(squeue -h -j "$job" -o %T 2>/dev/null) != PENDING ]] || break
  sleep 0.1
done
sleep 3 # slurmd counts revoked credentials by the second: a job that starts in the same one would be refused
scontrol update JobId="$job" StartTime=now || fail "the job is not in the queue"
for ((i = 0; i < 900; ++i)); do
  [[ ! -e $OUTPUT ]] || break
  sleep 0.1
done
[[ -e $OUTPUT ]] || fail "the job did not come to its end: $(squeue -o '%i %T %r' 2>&1)"
grep -q "of 80 prompts were finished by earlier runs" "$work/job.out" || fail "nothing was taken over"
"$OPTPIPE" generate --model "$MODEL" --input "$INPUT" --output "$work/one.jsonl" "${flags[@]}" 2>/dev/null || fail "one process"
cmp "$work/one.jsonl" "$OUTPUT" || fail "other results than without the interruption"

# A job that its user cancels does not come back, and loses nothing.
rm -f "$OUTPUT"
cancelled=$(sbatch --parsable --nodes=1 --ntasks-per-node=3 --time=10 --output="$work/cancelled.out" "$root/launch/slurm.sbatch" \
  "${flags[@]}") || fail "sbatch"
for ((i = 0; i < 600; ++i)); do
  (($(wc -l 2>/dev/null <"$OUTPUT.journal" || echo 0) < 4)) || break
  sleep 0.1
done
scancel "$cancelled"
for ((i = 0; i < 200; ++i)); do
  [[ $(scontrol show job "$cancelled" 2>/dev/null) != *JobState=CANCELLED* || -n $(squeue -h -j "$cancelled" 2>/dev/null) ]] || break
  sleep 0.1
done
# Slurm knows the processes of the batch script; ranks in process groups of their own (Open MPI 5) end with their mpirun, a moment
# later.
for ((i = 0; i < 100; ++i)); do
  pgrep -f -- "--output $OUTPUT" >/dev/null || break
  sleep 0.1
done
! pgrep -f -- "--output $OUTPUT" >/dev/null || fail "ranks of the cancelled job still run: $(pgrep -af -- "--output $OUTPUT")"
kept=$(($(wc -l <"$OUTPUT.journal") - 1))
! grep -q "goes back into the queue" "$work/cancelled.out" || fail "a cancelled job queued itself again"
[[ $(scontrol show job "$cancelled") == *JobState=CANCELLED* ]] || fail "the job is not over: $(scontrol show job "$cancelled")"
"$OPTPIPE" generate --model "$MODEL" --input "$INPUT" --output "$OUTPUT" --resume "${flags[@]}" 2>"$work/resume.log" || fail "resume"
grep -q "^optpipe: info: $kept of 80 prompts were finished" "$work/resume.log" || fail "$kept prompts were kept: $(cat "$work/resume.log")"
cmp "$work/one.jsonl" "$OUTPUT" || fail "other results after a cancelled job"
echo "Slurm $(slurmctld -V | cut -d' ' -f2): stopped with $finished of 80 prompts finished, queued again, same output; cancelled: over"
