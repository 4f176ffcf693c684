#!/usr/bin/env python3
"""Runs the reference workloads of docs/performance.md, each beside its floor and, where asked for, beside FlexGen.

  tools/campaign.py --optpipe build/default/bin/optpipe [--only W1,W3] [--budget SECONDS] [--flexgen DIR] [--json FILE]
  tools/campaign.py --dry-run            # commands and floors of all workloads, and what this machine cannot run
  tools/campaign.py --optpipe build/default/bin/optpipe --only small      # a tiny run on CPU cores: does it all work?

A workload that this machine cannot run is left out, and the reason is printed; so is, with --budget, one for which less
time is left than its floor and a minute of preparation. Decode may be cut short and projected
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
import time
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
# On CPU cores, for which no ceilings are known: only asked for by name.
SMALL = {"small": (Workload("opt-125m", 2, 1, ALL, prompt=8, new=4), 0, ["--device", "cpu"], False)}


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


def on_cores(more):
    return "--device" in more


def command_of(arguments, workload, cut, more):
    command = [arguments.optpipe, "bench", "--path", "DUMMY", "--no-log", "--verbose", "0", *workload.flags, *more]
    if cut:
        command += ["--cut-gen-len", str(cut)]
    if workload.attention == "split" and arguments.attention:
        command += ["--attention", arguments.attention]
    if workload.ranks > 1:
        command = ["mpirun", "-n", str(workload.ranks), *arguments.mpirun.split(), *command]
    return command


def run_optpipe(arguments, workload, cut, more):
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [*command_of(arguments, workload, cut, more), "--json", str(report)]
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


def describe(name, cards):
    """What is known before a run: the row, and why the workload is left out here (None: it is not)."""
    workload, _, more, _ = {**WORKLOADS, **SMALL}[name]
    row = {"workload": name, "model": workload.model, "batches": f"{workload.batch}x{workload.gpu_batches}",
           "ranks": workload.ranks}
    if on_cores(more):
        return {**row, "machine": "cores", "floor_token_s": None}, None
    card = next((known for known in CEILINGS if cards and known in cards[0][0]), "H200")
    floor = floor_of(workload, CEILINGS[card])
    row |= {"machine": f"{workload.ranks} x {card}", "floor_token_s": floor.token_s, "floor_s": floor.total_s,
            "floor_binds": {"prefill": Floor.binds(floor.prefill), "decode": Floor.binds(floor.decode_step)}}
    return row, why_not(workload, floor, cards)


def measure(arguments, name, cards, left_s=float("inf")):
    workload, cut, more, has_peer = {**WORKLOADS, **SMALL}[name]
    row, reason = describe(name, cards)
    steps = workload.new if cut == 0 else cut
    needed = 60 + row.get("floor_s", 0) * steps / workload.new
    if reason is None and left_s < needed:
        reason = f"{needed:.0f} s are wanted at least, {max(left_s, 0):.0f} s of the budget are left"
    if reason:
        return {**row, "skipped": reason}
    report, failure = run_optpipe(arguments, workload, cut, more)
    if failure:
        return {**row, "failed": failure}
    result = report["result"]
    row |= {"token_s": result["total_token_s"], "prefill_s": result["prefill_s"], "decode_s": result["decode_s"],
            "projected": result["projected"],
            "ratio": result["total_token_s"] / row["floor_token_s"] if row["floor_token_s"] else None,
            "binds": {phase: [(rank["phases"][phase] or {}).get("binds") for rank in report["ranks"]]
                      for phase in ("prefill", "decode")}}
    if arguments.flexgen and has_peer:
        row["flexgen_token_s"], row["flexgen_failure"] = run_flexgen(arguments, workload, cut)
    return row


def to_line(row):
    floor = f"{row['floor_token_s']:.1f}" if row["floor_token_s"] else "-"
    head = f"{row['workload']:<7}{row['model']:<10}{row['batches']:<6}{row['machine']:<9}{floor:>8}"
    for outcome, words in (("skipped", "left out"), ("failed", "failed")):
        if outcome in row:
            return f"{head}  {words}: {row[outcome]}"
    flexgen = row.get("flexgen_token_s")
    ratio = f"{row['ratio']:.0%}" if row["ratio"] is not None else "-"
    binds = ", ".join(f"{phase}: {'/'.join(dict.fromkeys(map(str, ranks)))}" for phase, ranks in row["binds"].items())
    return (f"{head}{row['token_s']:>10.1f}{'*' if row['projected'] else ' '}{ratio:>6}{row['prefill_s']:>9.3f}"
            f"{row['decode_s']:>9.2f}{f'{flexgen:.1f}' if flexgen else '-':>9}  {binds}")


def print_plan(arguments, names, cards):
    for name in names:
        workload, cut, more, _ = {**WORKLOADS, **SMALL}[name]
        row, reason = describe(name, cards)
        if row["floor_token_s"]:
            binds = ", ".join(f"{phase}: {what}" for phase, what in row["floor_binds"].items())
            print(f"{name}: floor {row['floor_token_s']:.1f} token/s on {row['machine']} ({binds})")
        else:
            print(f"{name}: on {row['machine']}, whose ceilings are not known")
        print("  " + " ".join(command_of(arguments, workload, cut, more)))
        if reason:
            print(f"  not here: {reason}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optpipe", help="the program")
    parser.add_argument("--only", help="names with commas between: " + ",".join([*WORKLOADS, *SMALL]))
    parser.add_argument("--dry-run", action="store_true", help="print commands and floors, run nothing")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds for all runs together")
    parser.add_argument("--mpirun", default="--oversubscribe --allow-run-as-root", help="flags of mpirun")
    parser.add_argument("--attention", help="value of --attention where attention may be split (default: the program's)")
    parser.add_argument("--flexgen", metavar="DIR", help="also run FlexGen from this clone")
    parser.add_argument("--python", default=sys.executable, help="with FlexGen's packages")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one run")
    parser.add_argument("--json", metavar="FILE", help="rows as JSON")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(WORKLOADS)
    unknown = [name for name in names if name not in WORKLOADS and name not in SMALL]
    if unknown:
        parser.error(f"--only: there is no workload {', '.join(unknown)}; there are {', '.join([*WORKLOADS, *SMALL])}")
    cards = gpus()
    if arguments.dry_run:
        arguments.optpipe = arguments.optpipe or "optpipe"
        return print_plan(arguments, names, cards)
    if not arguments.optpipe:
        parser.error("--optpipe is missing: where is the program?")
    arguments.optpipe = shutil.which(arguments.optpipe) or parser.error(f"--optpipe: {arguments.optpipe} cannot be run")
    if arguments.flexgen and not os.path.isdir(os.path.join(arguments.flexgen, "flexgen")):
        parser.error(f"--flexgen: {arguments.flexgen} holds no folder flexgen")
    rows, end = [], time.monotonic() + arguments.budget
    longest = arguments.timeout
    print("                                   floor   token/s  ratio  prefill   decode  FlexGen  what binds; *: projected")
    for name in names:
        left_s = end - time.monotonic()
        arguments.timeout = min(longest, max(left_s, 1))
        try:
            rows.append(measure(arguments, name, cards, left_s))
        except subprocess.TimeoutExpired:
            rows.append({**describe(name, cards)[0], "failed": f"not done after {arguments.timeout:.0f} s"})
        print(to_line(rows[-1]), flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n")
    if any("failed" in row for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
