#!/usr/bin/env bash
# Two nodes behind a wire of 4 Mbit/s (0.5 under sanitizers): bench says that the network binds decode, and shows messages at about the wire's rate, without
# the time for which a sender waits. Arguments: the repository, the program.
set -uo pipefail
root=$1
export OPTPIPE=$2
source "$root/tests/cluster/nodes.sh"
make_nodes 2
hostfile 1 1
command -v tc >/dev/null || skip "there is no tc command (iproute2)"
rate=4 # Mbit/s: 500 kB/s
# Computation takes some 20 times as long under a sanitizer, and the network is to bind.
[ -z "${TSAN_OPTIONS-}${ASAN_OPTIONS-}" ] || rate=0.5
for node in 1 2; do
  on $node tc qdisc add dev net0 root tbf rate ${rate}mbit burst 4kb latency 2s || skip "this kernel shapes no traffic"
done

# A decode step sends 2 micro-batches of 32 rows of 192 values of 4 bytes: 49 kB, 0.1 s.
on 1 timeout 100 bash "$root/launch/mpirun.sh" --hostfile "$work/hostfile" --rsh "$work/agent" --interface 10.77.0.0/24 \
  bench --model "$root/models/tiny-opt" --path DUMMY --device cpu --threads 1 --prompt-len 8 --gen-len 8 --gpu-batch-size 32 --no-log \
  --json "$work/report.json" >"$work/out.log" 2>"$work/err.log" || fail "bench: $(tail -20 "$work/err.log")"
grep -q 'is bound by network' "$work/out.log" || fail "no word of the network: $(cat "$work/out.log")"
python3 - "$work/report.json" "$rate" <<'PYTHON' || fail "the report: $(cat "$work/out.log")"
import json, sys
report, wire = json.load(open(sys.argv[1])), float(sys.argv[2]) * 1e6 / 8
steps = len(report["decode_step_s"])
sent = steps * 2 * report["sizes"]["micro_batch_decode_bytes"]
decode = [rank["phases"]["decode"]["busy_s"] for rank in report["ranks"]]
print(f"{sent} bytes in {decode[1]['recv']:.2f} s of receiving: {sent / decode[1]['recv'] / wire:.2f} of the wire's rate; "
      f"sending {decode[0]['send']:.2f} s of {report['result']['decode_s']:.2f} s")
# A burst may pass at once; what is sent besides hidden states is little.
assert 0.5 * wire < sent / decode[1]["recv"] < 1.5 * wire
assert decode[0]["send"] <= decode[1]["recv"] + 1e-6
assert report["bottleneck"]["queue"] in ("send", "recv") and not report["bottleneck"]["waits"]
PYTHON
