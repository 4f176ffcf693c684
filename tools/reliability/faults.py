#!/usr/bin/env python3
"""What a run does when something fails: the table of docs/reliability.md.

    python3 tools/reliability/faults.py [--times 10] [--program build/default/bin/optpipe]

As root, for small disks. Each fault is injected so many times into a run over three CPU ranks; then the time until the last process of the run has ended,
the exit status, and what is left behind. Faults between nodes are in tests/cluster.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from runs import CONTINUE, KILL, ROOT, STOP, TINY, Run, journaled, send, write_prompts

RANKS = 3
FULL = "a small disk"
TIMEOUT = 2  # s, --comm-timeout where a rank is silent


def only(rank, limit):
    return f"[ $OMPI_COMM_WORLD_RANK != {rank} ] || {limit};"


LARGE = ["--model", "facebook/opt-125m", "--path", "DUMMY"]

# name, shell in front of every rank, signal, more flags, statuses that are right, what the message must say
FAULTS = [
    ("a rank killed (SIGKILL, or the kernel where memory is out)", None, KILL, TINY, {137}, "Killed|signal 9"),
    (f"a rank stopped (SIGSTOP), --comm-timeout {TIMEOUT}", None, STOP, [*TINY, "--comm-timeout", str(TIMEOUT)], {5},
     r"rank \d on .*waited .* rank \d.*layers .*micro-batch .*token step"),
    ("a rank out of memory (ulimit -v)", only(1, "ulimit -v 260000"), None, LARGE, {1, 3}, "rank 1 on .*(memory|cannot be had)"),
    ("a disk that is full of results (tmpfs of 32 KiB)", None, FULL, TINY, {1}, "rank 0 on .*journal .*No space left"),
    ("a disk too small for the offload file (tmpfs of 32 KiB)", None, FULL, [*TINY, "--percent"] + ["0"] * 6, {1, 3, 4}, "rank|disk"),
]


def inject(name, shell, number, flags, rank, folder, program):
    offload = folder / "offload"
    offload.mkdir()
    output = (offload if number == FULL else folder) / "out.jsonl"
    if number == FULL:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(offload)], check=True)  # takes root
    words = ["--input", str(folder / "in.jsonl"), "--output", str(output), "--ignore-eos", "--gpu-batch-size", "2",
             "--offload-dir", str(offload), *flags]
    begin = time.monotonic()
    run = Run(program, RANKS, words, folder / "run.log", shell or "")
    stopped = None
    if isinstance(number, int):
        if not run.wait_for(lambda: journaled(output) >= 5 and len(run.ranks()) == RANKS):
            sys.exit(f"{name}: the run ended by itself: " + (folder / "run.log").read_text())
        stopped = run.ranks()[rank]
        begin = time.monotonic()
        send(stopped, number)
    status = run.finish(120)
    seconds = time.monotonic() - begin
    left = list(run.ranks().values())
    if number == STOP and stopped in left:
        send(stopped, CONTINUE)
    files = [path for path in offload.iterdir() if path != output.with_name("out.jsonl.journal")]
    log = (folder / "run.log").read_text()
    messages = [line for line in log.splitlines() if line.startswith("optpipe: error")]
    kept = journaled(output)
    for path in [output.with_name("out.jsonl.journal"), output]:
        path.unlink(missing_ok=True)
    if number == FULL:
        subprocess.run(["umount", str(offload)], check=True)
    offload.rmdir()
    return seconds, status, left, files, messages, log, kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--program", default=str(ROOT / "build/default/bin/optpipe"))
    options = parser.parse_args()
    failed = False
    print("| fault | times | end: median | worst | status | messages | left behind |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name, shell, number, flags, right, says in FAULTS:
        times, statuses, messages, left = [], set(), [], 0
        for i in range(options.times):
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                write_prompts(folder / "in.jsonl", 20000)
                result = inject(name, shell, number, flags, i % RANKS, folder, options.program)
            seconds, status, processes, files, errors, log, _ = result
            times.append(seconds)
            statuses.add(status)
            messages.append(len(errors))
            left += len(processes) + len(files)
            if status not in right or not re.search(says, log):
                print(f"{name}: status {status}\n{log}", file=sys.stderr)
                failed = True
        failed = failed or left > 0
        print(f"| {name} | {len(times)} | {statistics.median(times):.1f} s | {max(times):.1f} s | {', '.join(map(str, sorted(statuses)))} "
              f"| {min(messages)} to {max(messages)} | {left} |", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
