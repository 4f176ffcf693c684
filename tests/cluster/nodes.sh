# Sourced by tests that need several nodes: network namespaces joined by a bridge stand for nodes, each with a host name of its
# own. mpirun starts processes in them through a script in place of ssh. Takes root and iproute2.
# shellcheck shell=bash

skip() {
  echo "SKIPPED: $*"
  exit 77
}
fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# With OPTPIPE_TEST_GPUS set, each node has one GPU of this machine, the first node GPU 0; otherwise none.
gpus_of_node=
[[ -z ${OPTPIPE_TEST_GPUS:-} ]] || gpus_of_node='CUDA_VISIBLE_DEVICES=$((node - 1))'

# Everything that make_nodes makes carries this tag, and nothing else is ever removed.
export OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES= ASAN_OPTIONS=detect_leaks=0:exitcode=99
tag=opt$$
work=$(mktemp -d /tmp/optpipe-nodes-XXXXXX)
namespaces=()

clean_up() {
  local space
  for space in "${namespaces[@]}"; do
    ip netns pids "$space" 2>/dev/null | xargs -r kill -KILL 2>/dev/null
    ip netns delete "$space" 2>/dev/null
  done
  rm -rf "$work"
}
trap clean_up EXIT

# make_nodes COUNT: node1 at 10.77.0.1, node2 at 10.77.0.2, ... Their ends of the wires are called net0.
make_nodes() {
  ((EUID == 0)) || skip "network namespaces take root"
  command -v ip >/dev/null || skip "there is no ip command (iproute2)"
  command -v mpirun >/dev/null || skip "there is no mpirun"
  ip netns add "$tag-switch" 2>/dev/null || skip "this machine refuses network namespaces"
  namespaces+=("$tag-switch")
  ip -n "$tag-switch" link add switch type bridge || skip "this kernel has no bridges"
  ip -n "$tag-switch" link set switch up
  local node space
  for ((node = 1; node <= $1; ++node)); do
    space=$tag-node$node
    ip netns add "$space"
    namespaces+=("$space")
    ip -n "$tag-switch" link add "port$node" type veth peer name net0 netns "$space" || skip "this kernel has no veth pairs"
    ip -n "$tag-switch" link set "port$node" master switch up
    ip -n "$space" address add "10.77.0.$node/24" dev net0
    ip -n "$space" link set net0 up
    ip -n "$space" link set lo up
    # A bridge of containers, as many clusters have: the same address on every node, and it leads nowhere.
    ip -n "$space" link add docker0 type bridge && ip -n "$space" address add 172.17.0.1/16 dev docker0 &&
      ip -n "$space" link set docker0 up
  done
  cat >"$work/agent" <<AGENT
#!/bin/bash
# HOST COMMAND ...: as ssh would.
node=\${1##*.}
shift
${gpus_of_node:+export $gpus_of_node}
exec ip netns exec $tag-node\$node unshare --uts bash -c "hostname node\$node; \$*"
AGENT
  chmod +x "$work/agent"
}

# on NODE COMMAND ...
on() {
  local node=$1
  shift
  [[ -z $gpus_of_node ]] || local -x CUDA_VISIBLE_DEVICES=$((node - 1))
  ip netns exec "$tag-node$node" unshare --uts bash -c 'hostname "$0"; exec "$@"' "node$node" "$@"
}

# hostfile SLOTS ...: of node1, node2, ...
hostfile() {
  local node=0 slots
  for slots in "$@"; do
    echo "10.77.0.$((++node)) slots=$slots"
  done >"$work/hostfile"
}

# optpipe processes in the nodes.
ranks_alive() {
  local space
  for space in "${namespaces[@]}"; do
    for process in $(ip netns pids "$space" 2>/dev/null); do
      [[ $(readlink "/proc/$process/exe") != "$OPTPIPE" ]] || echo "$process"
    done
  done
}

# over_nodes OUTPUT FLAG ...: generates over the nodes of the hostfile, mpirun on the first, which finds the network itself, or
# takes that of $interface.
over_nodes() {
  local output=$1
  shift
  on 1 timeout 100 bash "$root/launch/mpirun.sh" \
    --hostfile "$work/hostfile" --rsh "$work/agent" ${interface:+--interface "$interface"} \
    generate --model "$root/models/tiny-opt" --input "$work/in.jsonl" --output "$output" --ignore-eos "$@"
}
