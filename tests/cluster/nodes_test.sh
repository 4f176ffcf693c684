#!/usr/bin/env bash
# Ranks on two and three nodes give the tokens of one process, the report names the nodes and measures the wires between them,
# and a slow wire only takes time. Arguments: the repository, the program.
set -uo pipefail
root=$1
export OPTPIPE=$2
source "$root/tests/cluster/nodes.sh"
make_nodes 3

for i in $(seq 40 75); do echo "{\"id\": $i, \"tokens\": [2, $i, 60], \"max_new_tokens\": $((i % 7 + 3))}"; done >"$work/in.jsonl"
"$OPTPIPE" generate --model "$root/models/tiny-opt" --input "$work/in.jsonl" --output "$work/one.jsonl" --ignore-eos \
  --device cpu 2>/dev/null || fail "one process"

report() { # name of a report, jq-like path in Python
  python3 -c "import json, sys; r = json.load(open(sys.argv[1])); print($2)" "$work/$1.json"
}

check() { # name, slots ...
  local name=$1
  shift
  hostfile "$@"
  over_nodes "$work/$name.jsonl" --json "$work/$name.json" 2>"$work/$name.log" ||
    fail "$name: status $?: $(tail -20 "$work/$name.log")"
  cmp "$work/one.jsonl" "$work/$name.jsonl" || fail "$name: other tokens"
}

interface=10.77.0.0/24
check two-nodes 2 2
hosts=$(report two-nodes "[rank['host'] for rank in r['ranks']]")
[[ $hosts == "['node1', 'node1', 'node2', 'node2']" ]] || fail "hosts in the report: $hosts"
interface=
check three-nodes 2 1 1
hosts=$(report three-nodes "[link['hosts'] for link in r['links']]")
[[ $hosts == "[['node1', 'node1'], ['node1', 'node2'], ['node2', 'node3']]" ]] || fail "links in the report: $hosts"
fastest=$(report three-nodes "max(link['bytes_s'] for link in r['links'])")
python3 -c "import sys; sys.exit(not 1e5 < $fastest < 1e12)" || fail "a link was measured at $fastest bytes/s"
echo "two and three nodes: right tokens; MB/s of links: $(report three-nodes "[round(link['bytes_s'] / 1e6) for link in r['links']]")"

ip netns exec "$tag-node1" tc qdisc add dev net0 root tbf rate 40mbit burst 64kb latency 500ms 2>/dev/null ||
  { echo "no tc here: the slow wire is left out" && exit 0; }
hostfile 1 1
check slow-wire 1 1
slow=$(report slow-wire "r['links'][0]['bytes_s']")
python3 -c "import sys; sys.exit(not 1e6 < $slow < 10e6)" || fail "a wire of 5 MB/s was measured at $slow bytes/s"
echo "a wire of 5 MB/s, measured at $(report slow-wire "round(r['links'][0]['bytes_s'] / 1e6, 2)") MB/s: right tokens"
