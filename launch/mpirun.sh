#!/usr/bin/env bash
# Runs optpipe over several ranks, on this node or on those of a hostfile, with Open MPI 4.1 or 5:
#
#   bash launch/mpirun.sh -n 4 generate --model DIR --input prompts.jsonl --output results.jsonl
#   bash launch/mpirun.sh --hostfile hostfiles/two-nodes generate --model DIR ...
#   sbatch launch/slurm.sbatch        # on a Slurm cluster: that script calls this one
#
# Flags, before the command of optpipe:
#   -n RANKS            default: the hostfile's or the batch system's slots; else one a GPU of this node, or 1
#   --hostfile FILE     nodes and ranks (slots) on each; ssh must reach them without a password, and optpipe and the model
#                       must lie under the same paths there
#   --interface NAME    network between the nodes, as an interface (ib0) or a network (10.1.0.0/16); default: all but
#                       loopback and the bridges of containers, whose addresses are the same on every node and lead nowhere
#   --rsh SCRIPT        what starts processes on other nodes instead of ssh
#   --dry-run           prints the mpirun command and runs nothing
# Environment: OPTPIPE (the program; default build/default/bin/optpipe here, or on PATH), MPIRUN (default mpirun).
#
# Ranks fill a node before the next, so that most neighbours of the pipeline share one. Rank r of a node takes GPU r of that node
# (optpipe's --gpu-map chooses otherwise) and its share of the cores: optpipe places ranks on cores itself, so mpirun does not.
#
# SIGTERM and SIGUSR1 to this script ask optpipe to stop: with --output FILE finished prompts are kept, and the same command with
# --resume goes on. This script signals nothing but the mpirun that it has started.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  echo "mpirun.sh: $*" >&2
  exit 2
}

ranks='' hostfile='' interface='' rsh='' dry_run=''
while (($#)); do
  [[ $1 == --dry-run || $# -ge 2 || $1 != -* ]] || fail "$1 needs a value; see the head of launch/mpirun.sh"
  case $1 in
    -n | -np) ranks=$2 && shift 2 ;;
    --hostfile) hostfile=$2 && shift 2 ;;
    --interface) interface=$2 && shift 2 ;;
    --rsh) rsh=$2 && shift 2 ;;
    --dry-run) dry_run=1 && shift ;;
    --) shift && break ;;
    -*) fail "unknown flag $1; mpirun.sh's own flags come before optpipe's command, see the head of launch/mpirun.sh" ;;
    *) break ;;
  esac
done
(($#)) || fail "there is no command, such as generate --model DIR; see the head of launch/mpirun.sh"
[[ -z $ranks || $ranks =~ ^[1-9][0-9]*$ ]] || fail "-n $ranks: give a whole number from 1"
[[ -z $hostfile || -r $hostfile ]] || fail "--hostfile $hostfile: there is no such file"

optpipe=${OPTPIPE:-$root/build/default/bin/optpipe}
[[ -x $optpipe || -n ${OPTPIPE:-} ]] || optpipe=$(command -v optpipe || true)
[[ -x $optpipe ]] || fail "there is no program ${optpipe:-optpipe}: build it (bash launch/build.sh), or name it in OPTPIPE"
mpirun=${MPIRUN:-mpirun}
command -v "$mpirun" >/dev/null || fail "there is no $mpirun: install Open MPI, or load its module"
PATH=$(dirname "$(command -v "$mpirun")"):$PATH
"$mpirun" --version 2>/dev/null | grep -q 'Open MPI' ||
  fail "$mpirun is not Open MPI's; optpipe is started by the mpirun of the library that it is linked with"

source "$root/launch/mpi-flags.sh"
flags=("${mpirun_flags[@]}")
linked=$("$optpipe" --version 2>/dev/null | sed -n 's/.*Open MPI v\([0-9]*\).*/\1/p')
[[ -z $linked || -z $mpirun_version || $linked == "$mpirun_version" ]] ||
  fail "$mpirun is of Open MPI $mpirun_version, but $optpipe is linked with Open MPI $linked: use that one's mpirun (MPIRUN names it)"

if [[ -z $ranks && -z $hostfile && -z ${SLURM_JOB_ID:-} ]]; then
  ranks=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU' || true)
  ((ranks)) || ranks=1
fi
if [[ -z $ranks && -n $hostfile ]]; then # Open MPI 5 would count cores where slots are missing
  ranks=$(sed 's/#.*//' "$hostfile" | awk 'NF { s = 1; for (i = 2; i <= NF; ++i) if ($i ~ /^slots=/) s = substr($i, 7); n += s }
    END { print n + 0 }')
  ((ranks)) || fail "--hostfile $hostfile names no nodes; a line is: NAME slots=RANKS"
fi
[[ -z $ranks ]] || flags+=(-n "$ranks")
[[ -z $hostfile ]] || flags+=(--hostfile "$hostfile")

# Networks of container bridges and loopback, as a list for MPI.
useless_networks() {
  { ip -o -4 addr show 2>/dev/null || true; } | awk '
    $2 ~ /^(docker|br-|virbr|veth|cni|flannel|lxc|podman|vnet|cali)/ { print $4 }
    END { print "127.0.0.0/8" }' | paste -sd,
}

runtime() { # name value: a parameter of the part of Open MPI that starts processes
  if ((${mpirun_version:-4} >= 5)); then flags+=(--prtemca "$1" "$2"); else flags+=(--mca "$1" "$2"); fi
}

if [[ -n $hostfile || -n ${SLURM_JOB_ID:-} ]]; then
  if [[ -n $interface ]]; then
    flags+=(--mca btl_tcp_if_include "$interface")
    if ((${mpirun_version:-4} >= 5)); then runtime prte_if_include "$interface"; else runtime oob_tcp_if_include "$interface"; fi
  else
    networks=$(useless_networks)
    flags+=(--mca btl_tcp_if_exclude "$networks")
    # The runtime of Open MPI 5 ends with a segmentation fault over a list of two (seen with 5.0.11), and does without.
    ((${mpirun_version:-4} >= 5)) || runtime oob_tcp_if_exclude "$networks"
  fi
  # A node that has vanished is noticed within seconds, by both sides; the default is minutes.
  runtime oob_tcp_keepalive_time 5
  runtime oob_tcp_keepalive_intvl 2
  runtime oob_tcp_keepalive_probes 2
fi
# Where nothing can start processes on other nodes (there is no ssh, or OMPI_MCA_plm=isolated is set), Open MPI 4 would start all
# ranks on this one and say nothing; so it ends with an error.
nodes=${SLURM_JOB_NUM_NODES:-1}
[[ -z $hostfile ]] || nodes=$(sed 's/#.*//' "$hostfile" | awk 'NF { print $1 }' | sort -u | wc -l)
if ((nodes > 1 && ${mpirun_version:-4} < 5)); then runtime plm ^isolated; fi
if [[ -n $rsh ]]; then
  if ((${mpirun_version:-4} >= 5)); then runtime plm_ssh_agent "$rsh"; else runtime plm_rsh_agent "$rsh"; fi
fi
[[ -z ${OMP_NUM_THREADS:-} ]] || flags+=(-x OMP_NUM_THREADS)

if [[ -n $dry_run ]]; then
  printf '%q ' "$mpirun" "${flags[@]}" "$optpipe" "$@"
  echo
  exit 0
fi

"$mpirun" "${flags[@]}" "$optpipe" "$@" <&0 &
job=$!
trap 'kill -USR1 "$job" 2>/dev/null || true' TERM USR1 # mpirun hands it to every rank; SIGTERM would end them at once

# Where a node has gone out of reach, mpirun may wait for it for ever after the ranks of this node have ended. Succeeds where it
# had to end mpirun.
end_stuck_mpirun() {
  local name had_ranks='' idle=0
  name=$(basename "$optpipe")
  while sleep 0.2 && kill -0 "$job" 2>/dev/null; do
    if pgrep -P "$job" -x "${name:0:15}" >/dev/null; then
      had_ranks=1 idle=0
    elif [[ -n $had_ranks ]] && ((++idle >= 50)); then
      echo "mpirun.sh: mpirun has not ended 10 s after its ranks here: a node is out of reach" >&2
      kill -KILL "$job"
      return 0
    fi
  done
  return 1
}
end_stuck_mpirun &
guard=$!

status=0
wait "$job" || status=$?
while kill -0 "$job" 2>/dev/null; do # a signal has ended the wait, not the job
  status=0
  wait "$job" || status=$?
done
if wait "$guard"; then status=5; fi # as where a peer is lost
exit "$status"
