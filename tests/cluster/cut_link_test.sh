#!/usr/bin/env bash
# The wire to a node is cut in the middle of a run: every rank on both sides ends by itself, the message says who waited for
# what, nothing is left, and --resume gives the output of an uninterrupted run. Arguments: the repository, the program.
# OPTPIPE_TEST_GPUS=1: the two nodes have a GPU each; OPTPIPE_TEST_COMM is --comm-device.
set -uo pipefail
root=$1
export OPTPIPE=$2
source "$root/tests/cluster/nodes.sh"
make_nodes 2
slots=(1 2) device=cpu
[[ -z ${OPTPIPE_TEST_GPUS:-} ]] || slots=(1 1) device=cuda
ranks=$((slots[0] + slots[1]))
hostfile "${slots[@]}"

# First results come after a tenth of the run, on a fast machine, too.
for i in $(seq 40 99); do echo "{\"id\": $i, \"tokens\": [2, $i, 60], \"max_new_tokens\": $((i % 5 ? 100 : 10))}"; done >"$work/in.jsonl"
timeout=3 # of --comm-timeout
flags=(--max-new-tokens 100 --gpu-batch-size 1 --device $device --comm-device "${OPTPIPE_TEST_COMM:-auto}")
over_nodes "$work/cut.jsonl" --comm-timeout $timeout "${flags[@]}" 2>"$work/cut.log" &
run=$!
for ((i = 0; i < 3000; ++i)); do
  (($(wc -l 2>/dev/null <"$work/cut.jsonl.journal" || echo 0) < 3)) || break
  sleep 0.02
done
(($(ranks_alive | wc -l) == ranks)) || fail "the run has not come to its first results: $(cat "$work/cut.log")"
ip -n "$tag-switch" link set port2 down
begin=$(date +%s.%N)
for ((i = 0; i < 1000; ++i)); do
  [[ -n $(ranks_alive) ]] || break
  sleep 0.02
done
left=$(ranks_alive)
seconds=$(python3 -c "print(round($(date +%s.%N) - $begin, 1))")
[[ -z $left ]] || fail "ranks $left still run after $seconds s: $(cat "$work/cut.log")"
wait $run
status=$?
total=$(python3 -c "print(round($(date +%s.%N) - $begin, 1))")
((status != 0 && status != 124)) || fail "status $status: $(cat "$work/cut.log")"
grep -Eq 'rank [0-2] on node[12]: waited [0-9]+ s .* rank [0-2].*layers [0-9]+-[0-9]+.*micro-batch [0-9]+.*token step [0-9]+' \
  "$work/cut.log" || fail "the message: $(cat "$work/cut.log")"
echo "wire cut: all ranks ended after $seconds s (--comm-timeout $timeout), mpirun after $total s with status $status"

ip -n "$tag-switch" link set port2 up
over_nodes "$work/cut.jsonl" --resume "${flags[@]}" 2>"$work/resume.log" || fail "resume: $(tail -20 "$work/resume.log")"
on 1 "$OPTPIPE" generate --model "$root/models/tiny-opt" --input "$work/in.jsonl" --output "$work/one.jsonl" --ignore-eos \
  "${flags[@]}" 2>"$work/one.log" || fail "one process: $(cat "$work/one.log")"
cmp "$work/one.jsonl" "$work/cut.jsonl" || fail "other tokens after --resume"
