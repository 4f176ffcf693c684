#!/usr/bin/env python3
"""Ragged prompts with and without continuous batching: the same tokens, and how much faster.

  tools/compare_batching.py --optpipe build/default/bin/optpipe [--prompts 64] [--ranks 1] -- --model facebook/opt-125m \\
      --path DUMMY --gpu-batch-size 8

What stands behind -- goes to `optpipe generate`. Prompts have 16 to 512 tokens and are given 8 to 128 new ones, drawn
with a fixed seed. Runs alternate, so that a machine whose speed drifts is fair to both.
"""
import argparse
import json
import random
import statistics
import subprocess
import tempfile
from pathlib import Path


def write_prompts(path, count, shortest, longest, fewest, most):
    draw = random.Random(64)
    with open(path, "w") as lines:
        for i in range(count):
            tokens = [2] + [draw.randrange(4, 50000) for _ in range(draw.randint(shortest, longest) - 1)]
            lines.write(json.dumps({"id": i, "tokens": tokens, "max_new_tokens": draw.randint(fewest, most)}) + "\n")


def run(arguments, folder, flag):
    output, report = folder / "out.jsonl", folder / "report.json"
    command = [arguments.optpipe, "generate", "--ignore-eos", "--input", str(folder / "prompts.jsonl"), "--output",
               str(output), "--json", str(report), flag, *arguments.flags]
    if arguments.ranks > 1:
        command = ["mpirun", "-n", str(arguments.ranks), *arguments.mpirun.split(), *command]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return output.read_text(), json.loads(report.read_text())["result"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optpipe", required=True)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--lengths", type=int, nargs=2, default=[16, 512])
    parser.add_argument("--outputs", type=int, nargs=2, default=[8, 128])
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--mpirun", default="--oversubscribe --allow-run-as-root", help="flags of mpirun")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("flags", nargs="+", help="of optpipe generate, behind --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_prompts(folder / "prompts.jsonl", arguments.prompts, *arguments.lengths, *arguments.outputs)
        seconds = {"--no-continuous-batching": [], "--continuous-batching": []}
        outputs = {}
        for _ in range(arguments.repeats):
            for flag, times in seconds.items():
                outputs[flag], result = run(arguments, folder, flag)
                times.append(result["total_s"])
                tokens = result["new_tokens"]
        same = len(set(outputs.values())) == 1
        medians = {flag: statistics.median(times) for flag, times in seconds.items()}
        for flag, median in medians.items():
            print(f"{flag:<26} {median:8.2f} s {tokens / median:10.1f} token/s")
        print(f"ratio {medians['--no-continuous-batching'] / medians['--continuous-batching']:.2f}, tokens "
              f"{'equal' if same else 'DIFFER'}")
        raise SystemExit(0 if same else 1)


main()
