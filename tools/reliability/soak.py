#!/usr/bin/env python3
"""Batch jobs survive: a job over several CPU ranks in which a random rank is killed again and again, and resumed each time.

    python3 tools/reliability/soak.py [--prompts 2000] [--ranks 3] [--kills 20] [--program build/default/bin/optpipe]

The output must be byte for byte that of a run without interruption. Prints the times from each kill to the end of the last process.
"""

import argparse
import json
import pathlib
import random
import statistics
import sys
import tempfile
import time

from runs import KILL, ROOT, TINY, Run, journaled, send, write_prompts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default=str(ROOT / "build/default/bin/optpipe"))
    options = parser.parse_args()
    draw = random.Random(options.seed)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_prompts(folder / "in.jsonl", options.prompts)
        words = [*TINY, "--input", str(folder / "in.jsonl"), "--ignore-eos", "--do-sample", "--seed", "7", "--gpu-batch-size", "4"]
        quiet = Run(options.program, options.ranks, [*words, "--output", str(folder / "quiet.jsonl")], folder / "quiet.log")
        if quiet.finish(3600) != 0:
            sys.exit((folder / "quiet.log").read_text())

        output = folder / "out.jsonl"
        resumed = [*words, "--output", str(output), "--resume"]
        times, kept = [], []
        for kill in range(options.kills):
            run = Run(options.program, options.ranks, resumed, folder / "run.log")
            # Kills are spread over the whole job, so that the last one comes near its end.
            target = options.prompts * (kill + draw.random()) / (options.kills + 0.5)
            if not run.wait_for(lambda: journaled(output) >= target and len(run.ranks()) == options.ranks):
                sys.exit(f"run {kill} ended by itself: " + (folder / "run.log").read_text())
            rank = draw.randrange(options.ranks)
            send(run.ranks()[rank], KILL)
            begin = time.monotonic()
            status = run.finish()
            times.append(time.monotonic() - begin)
            kept.append(journaled(output))
            print(f"kill {kill + 1}: rank {rank}, status {status}, ended after {times[-1]:.2f} s, {kept[-1]} prompts kept", flush=True)
            if run.ranks() or output.exists() or status == 0:
                sys.exit("a process or an output is left behind, or the status says that all is well")
            if kept != sorted(kept):
                sys.exit("finished prompts were lost")
        if Run(options.program, options.ranks, resumed, folder / "run.log").finish(3600) != 0:
            sys.exit((folder / "run.log").read_text())
        same = output.read_bytes() == (folder / "quiet.jsonl").read_bytes()
        ids = [json.loads(line)["id"] for line in output.read_text().splitlines()]
        print(f"{options.kills} kills: ended after {statistics.median(times):.2f} s in the median, {max(times):.2f} s at worst; "
              f"{len(ids)} results, {len(set(ids))} ids, output {'identical' if same else 'DIFFERENT'}")
        sys.exit(0 if same and len(set(ids)) == options.prompts else 1)


if __name__ == "__main__":
    main()
