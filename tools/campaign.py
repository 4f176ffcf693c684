#!/usr/bin/env python3
"""Runs the reference workloads of docs/performance.md, each beside its floor and, where asked for, beside FlexGen.

  tools/campaign.py --optpipe build/default/bin/optpipe [--only W1,W3] [--flexgen DIR] [--json FILE]

A workload that this machine cannot run is left out, and the reason is printed. Decode may be cut short and projected
(`optpipe bench --cut-gen-len`): such rows are marked. DIR is a clone of FlexGen; it runs with its own Python, offline,
on random weights, with the same flags, cut and projected in its own way.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from floor import CEILINGS, Floor, Workload, floor_of

ALL = (100, 0, 100, 0, 100, 0)
OFFLOAD = (20, 80, 0, 100, 0, 100)
# name: workload, token steps to run (0: all), further flags of optpipe, whether FlexGen has the like
WORKLOADS = {
    "W1": (Workload("opt-6.7b", 32, 1, ALL), 0, [], True),
    "W2": (Workload("opt-6.7b", 24, 1, ALL, ranks=4), 0, [], True),
    "W3": (Workload("opt-30b", 48, 3, OFFLOAD, attention="split"), 6, [], True),
    "W4": (Workload("opt-30b", 48, 4, OFFLOAD, attention="split", weight_bits=4.5, kv_bits=4.5), 6, [], True),
    "W5": (Workload("opt-30b", 12, 3, OFFLOAD, 4, True, "split", 4.5, 4.5), 6, [], True),
    "W6": (Workload("opt-30b", 48, 2, OFFLOAD, attention="split"), 6, [], True),
    "W7": (Workload("opt-175b", 12, 1, (0, 100, 0, 100, 0, 100), 4, True, "split"), 5, [], True),
    "W8": (Workload("opt-175b", 20, 1, ALL, ranks=4), 6, [], True),
    "30B": (Workload("opt-30b", 24, 1, ALL, ranks=2), 0, [], True),
    "30B x4": (Workload("opt-30b", 24, 1, ALL, ranks=4), 0, [], True),
}


def gpus():
    """Name and bytes of each GPU."""
    try:
        lines = subprocess.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"],
                               check=True, capture_output=True, text=True).stdout.strip().splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []
    return [(name.strip(), float(memory) * 2**20) for name, memory in (line.rsplit(",", 1) for line in lines)]


def host_bytes():
    """Available memory, within the limits of the control groups."""
    available = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            available = min(available, int(Path(path).read_text()))
        except (OSError, ValueError):
            pass
    return available


def why_not(workload, floor, cards):
    if len(cards) < workload.ranks:
        return f"{workload.ranks} GPU(s) are wanted, {len(cards)} are there"
    if floor.host_bytes > 0.95 * host_bytes():
        return f"{floor.host_bytes / 2**30:.0f} GiB of host memory are wanted, {host_bytes() / 2**30:.0f} GiB are there"
    room = sum(memory for _, memory in cards[:workload.ranks])
    if floor.gpu_bytes > 0.95 * room:
        return f"{floor.gpu_bytes / 2**30:.0f} GiB of GPU memory are wanted, {room / 2**30:.0f} GiB are there"
    return None


def run_optpipe(arguments, workload, cut, more):
    command = [arguments.optpipe, "bench", "--path", "DUMMY", "--no-log", "--verbose", "0", *workload.flags, *more]
    if cut:
        command += ["--cut-gen-len", str(cut)]
    if workload.attention == "split" and arguments.attention:
        command += ["--attention", arguments.attention]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command += ["--json", str(report)]
        if workload.ranks > 1:
            command = ["mpirun", "-n", str(workload.ranks), *arguments.mpirun.split(), *command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout)
        if done.returncode != 0:
            return None, (done.stderr.strip().splitlines() or ["no message"])[-1]
        return json.loads(report.read_text()), None


# Runs inside FlexGen's Python: a tokenizer that needs no network, and no look at every tensor of the process.
STARTER = """
import runpy, sys, types, transformers
class Words:
    def __call__(self, prompts, padding=None, max_length=None, **_):
        return types.SimpleNamespace(input_ids=[[5] * max_length for _ in prompts])
    def batch_decode(self, rows, **_):
        return [""] * len(rows)
transformers.AutoTokenizer.from_pretrained = staticmethod(lambda *_, **__: Words())
sys.path.insert(0, sys.argv[1])
import flexgen.pytorch_backend
flexgen.pytorch_backend.cpu_mem_stats = lambda: 0
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def run_flexgen(arguments, workload, cut):
    """Total token/s in FlexGen's own words, or why there is none."""
    flags = [flag for flag in workload.flags if flag not in ("--stages", "looped")]
    flags += ["--path", "_DUMMY_", "--no-log"] + (["--cut-gen-len", str(cut)] if cut else [])
    module = "flexgen.flex_opt" if workload.ranks == 1 else "flexgen.dist_flex_opt"
    processes = []
    for rank in range(workload.ranks):
        own = [] if workload.ranks == 1 else ["--head-ip", "127.0.0.1", "--port", "7777", "--world-size",
                                              str(workload.ranks), "--rank", str(rank), "--local-rank", str(rank),
                                              "--comm-device", "gpu"]
        processes.append(subprocess.Popen([arguments.python, "-c", STARTER, arguments.flexgen, module, *flags, *own],
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    outputs = []
    try:
        outputs = [process.communicate(timeout=arguments.timeout)[0] for process in processes]
    except subprocess.TimeoutExpired:
        return None, f"not done after {arguments.timeout:.0f} s"
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
    found = re.findall(r"total throughput:\s*([\d.]+) token/s", "\n".join(outputs))
    if not found:
        return None, (outputs[-1].strip().splitlines() or ["no output"])[-1][:120]
    return float(found[-1]), None


def measure(arguments, name, cards):
    workload, cut, more, has_peer = WORKLOADS[name]
    card = next((known for known in CEILINGS if cards and known in cards[0][0]), "H200")
    floor = floor_of(workload, CEILINGS[card])
    row = {"workload": name, "model": workload.model, "batches": f"{workload.batch}x{workload.gpu_batches}",
           "ranks": workload.ranks, "machine": f"{workload.ranks} x {card}", "floor_token_s": floor.token_s,
           "floor_binds": {"prefill": Floor.binds(floor.prefill), "decode": Floor.binds(floor.decode_step)}}
    reason = why_not(workload, floor, cards)
    if reason:
        return {**row, "skipped": reason}
    report, failure = run_optpipe(arguments, workload, cut, more)
    if failure:
        return {**row, "skipped": failure}
    result = report["result"]
    row |= {"token_s": result["total_token_s"], "prefill_s": result["prefill_s"], "decode_s": result["decode_s"],
            "projected": result["projected"], "ratio": result["total_token_s"] / floor.token_s,
            "binds": {phase: [(rank["phases"][phase] or {}).get("binds") for rank in report["ranks"]]
                      for phase in ("prefill", "decode")}}
    if arguments.flexgen and has_peer:
        row["flexgen_token_s"], row["flexgen_failure"] = run_flexgen(arguments, workload, cut)
    return row


def to_line(row):
    head = f"{row['workload']:<7}{row['model']:<10}{row['batches']:<6}{row['machine']:<9}{row['floor_token_s']:>8.1f}"
    if "skipped" in row:
        return f"{head}  left out: {row['skipped']}"
    flexgen = row.get("flexgen_token_s")
    binds = ", ".join(f"{phase}: {'/'.join(dict.fromkeys(map(str, ranks)))}" for phase, ranks in row["binds"].items())
    return (f"{head}{row['token_s']:>10.1f}{'*' if row['projected'] else ' '}{row['ratio']:>6.0%}{row['prefill_s']:>9.3f}"
            f"{row['decode_s']:>9.2f}{f'{flexgen:.1f}' if flexgen else '-':>9}  {binds}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optpipe", required=True)
    parser.add_argument("--only", help="names with commas between: " + ",".join(WORKLOADS))
    parser.add_argument("--mpirun", default="--oversubscribe --allow-run-as-root", help="flags of mpirun")
    parser.add_argument("--attention", help="value of --attention where attention may be split (default: the program's)")
    parser.add_argument("--flexgen", metavar="DIR", help="also run FlexGen from this clone")
    parser.add_argument("--python", default=sys.executable, help="with FlexGen's packages")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one run")
    parser.add_argument("--json", metavar="FILE", help="rows as JSON")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(WORKLOADS)
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        parser.error(f"--only: there is no workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    arguments.optpipe = shutil.which(arguments.optpipe) or parser.error(f"--optpipe: {arguments.optpipe} cannot be run")
    if arguments.flexgen and not os.path.isdir(os.path.join(arguments.flexgen, "flexgen")):
        parser.error(f"--flexgen: {arguments.flexgen} holds no folder flexgen")
    cards, rows = gpus(), []
    print("                                   floor   token/s  ratio  prefill   decode  FlexGen  what binds; *: projected")
    for name in names:
        try:
            rows.append(measure(arguments, name, cards))
        except subprocess.TimeoutExpired:
            rows.append({"workload": name, "model": "", "batches": "", "machine": "", "floor_token_s": 0,
                         "skipped": f"not done after {arguments.timeout:.0f} s"})
        print(to_line(rows[-1]), flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
