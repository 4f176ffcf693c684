#!/usr/bin/env python3
"""Sets planned beside measured memory of runs on a GPU, and says whether each is within 2 % and 256 MiB.

  python3 tools/check_memory.py build/default/bin/optpipe            # OPT-6.7B on three policies, OPT-30B refused
  python3 tools/check_memory.py build/default/bin/optpipe --large    # and OPT-30B 48x2, which takes 112 GiB of host memory
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB, GIB = 1 << 20, 1 << 30
NOTEBOOK = "20 80 0 100 0 100"


def prompts(path, count, length):
    with open(path, "w") as file:
        for i in range(count):
            file.write(json.dumps({"id": i, "tokens": [2] + [4 + (i + k) % 50000 for k in range(1, length)]}) + "\n")


def run(program, folder, size, percent, batch, batches, new_tokens, more=()):
    prompts(folder / "in.jsonl", batch * batches, 512)
    words = [program, "generate", "--model", f"facebook/{size}", "--path", "DUMMY", "--input", folder / "in.jsonl",
             "--output", folder / "out.jsonl", "--json", folder / "report.json", "--ignore-eos", "--max-new-tokens",
             new_tokens, "--gpu-batch-size", batch, "--num-gpu-batches", batches, "--percent", *percent.split(), *more]
    begin = time.monotonic()
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    return done, time.monotonic() - begin


def compare(name, folder, seconds):
    """One line a place; true where all are within the bounds."""
    memory = json.loads((folder / "report.json").read_text())["memory"][0]
    planned, measured = memory["planned"], memory["measured"]
    pairs = {"gpu": (planned["gpu"]["total"], measured["gpu"]),
             "host": (planned["pinned"]["total"] + planned["plain"]["total"], measured["host"]),
             "pinned": (planned["pinned"]["total"], measured["pinned"]),
             "disk": (planned["disk"]["total"], measured["disk"])}
    good = True
    for place, (plan, real) in pairs.items():
        if plan == 0 and real == 0:
            continue
        within = abs(plan - real) <= 0.02 * plan + 256 * MIB
        good = good and within
        print(f"{name:<38} {place:<7} {plan / GIB:9.3f} {real / GIB:9.3f} {(plan - real) / MIB:9.1f} "
              f"{'ok' if within else 'NOT WITHIN 2 % AND 256 MiB'}  ({seconds:.0f} s)")
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--large", action="store_true", help="also OPT-30B 48x2")
    options = parser.parse_args()
    good = True
    print(f"{'run':<38} {'memory':<7} {'GiB plan':>9} {'measured':>9} {'MiB diff':>9}")
    cases = [("opt-6.7b", "100 0 100 0 100 0", 32, 1, 4), ("opt-6.7b", "50 50 50 50 0 100", 16, 2, 4),
             ("opt-6.7b", "20 40 30 30 50 0", 16, 2, 3)]
    if options.large:
        cases.append(("opt-30b", NOTEBOOK, 48, 2, 32))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for batches in (3, 4):
            done, seconds = run(options.program, folder, "opt-30b", NOTEBOOK, 48, batches, 32,
                                ("--host-mem", "125GiB"))
            refused = done.returncode == 3 and seconds < 5
            good = good and refused
            print(f"opt-30b 48x{batches} with 125 GiB: status {done.returncode} after {seconds:.1f} s "
                  f"{'ok' if refused else 'NOT REFUSED IN TIME'}\n  {done.stderr.strip().splitlines()[-1]}")
        for size, percent, batch, batches, new_tokens in cases:
            done, seconds = run(options.program, folder, size, percent, batch, batches, new_tokens,
                                ("--show-memory", "--offload-dir", folder))
            label = f"{size} {batch}x{batches} {percent}"
            if done.returncode != 0:
                good = False
                print(f"{label}: status {done.returncode}\n  {done.stderr.strip()[-2000:]}")
                continue
            good = compare(label, folder, seconds) and good
            for line in done.stderr.splitlines():
                if "planned as" in line or " GiB" in line or " MiB" in line:
                    print("   ", line.removeprefix("optpipe: info: "))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
