#!/usr/bin/env python3
"""What a run does when something fails: the tables of docs/reliability.md.

    python3 tools/reliability/faults.py [--times 10] [--program build/default/bin/optpipe]
    python3 tools/reliability/faults.py --gpus 2 --comm-device gpu      # ranks with a GPU each; cpu: without NCCL

As root, for small disks. Each fault is injected so many times into a run over three CPU ranks (or over so many GPUs); then the time until the last
process of the run has ended, the exit status, and what is left behind. GPUs fail by tests/gpu/cuda_fault.cpp. Faults between nodes are in tests/cluster.
"""

import argparse
import dataclasses
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from runs import CONTINUE, KILL, ROOT, STOP, TINY, Run, journaled, send, write_prompts

TIMEOUT = 2  # s, --comm-timeout where a rank is silent
LARGE = ["--model", "facebook/opt-125m", "--path", "DUMMY"]
PLACE = r"rank \d on .*layers .*micro-batch .*token step"


@dataclasses.dataclass
class Fault:
    name: str
    statuses: set  # that are right
    says: str  # what the log must hold
    flags: list
    signal: int | None = None  # sent to a rank in the middle of the run
    shell: str = ""  # in front of the program, on every rank; {rank} is the one that fails
    small_disk: bool = False


def cpu_faults():
    limit = "[ $OMPI_COMM_WORLD_RANK != 1 ] || ulimit -v 260000;"
    return [
        Fault("a rank killed (SIGKILL, or the kernel where memory is out)", {137}, "Killed|signal 9", TINY, KILL),
        Fault(f"a rank stopped (SIGSTOP), --comm-timeout {TIMEOUT}", {5}, PLACE, [*TINY, "--comm-timeout", str(TIMEOUT)], STOP),
        Fault("a rank out of memory (ulimit -v)", {1, 3}, "rank 1 on .*(memory|cannot be had)", LARGE, shell=limit),
        Fault("a disk that is full of results (tmpfs of 32 KiB)", {1}, "rank 0 on .*journal .*No space left", TINY, small_disk=True),
        Fault("a disk too small for the offload file (tmpfs of 32 KiB)", {1, 3, 4}, "rank|disk", [*TINY, "--percent"] + ["0"] * 6,
              small_disk=True),
    ]


def gpu_faults(program, comm_device):
    preload = pathlib.Path(program).resolve().parents[1] / "lib/libcuda_fault.so"
    flags = [*LARGE, "--device", "cuda", "--comm-device", comm_device]
    cuda = f'export LD_PRELOAD={preload} OPTPIPE_TEST_FAULT="{{rank}} %s";'
    return [
        Fault("a rank killed (SIGKILL)", {137}, "Killed|signal 9", flags, KILL),
        Fault(f"a rank stopped (SIGSTOP), --comm-timeout {TIMEOUT}", {5}, PLACE, [*flags, "--comm-timeout", str(TIMEOUT)], STOP),
        Fault("a kernel that writes where no memory is", {1}, PLACE, flags, shell=cuda % "cudaEventRecord 3000 address"),
        Fault("a kernel that ends in a trap", {1}, PLACE, flags, shell=cuda % "cudaEventRecord 3000 trap"),
        Fault("CUDA reports an error of the GPU's memory (ECC)", {1}, PLACE, flags, shell=cuda % "cudaEventSynchronize 300 214"),
        Fault("GPU memory that is not there (--gpu-mem 900GiB)", {3}, "rank 0 on .*do not fit on the GPU.*stage of layers",
              ["--model", "facebook/opt-175b", *flags[2:], "--gpu-mem", "900GiB"]),
        Fault("a disk that is full of results (tmpfs of 32 KiB)", {1}, "rank 0 on .*journal .*No space left", flags, small_disk=True),
        Fault("a disk too small for the offload file (tmpfs of 32 KiB)", {1, 3, 4}, "rank|disk", [*flags, "--percent"] + ["0"] * 6,
              small_disk=True),
    ]


@dataclasses.dataclass
class Outcome:
    seconds: float
    status: int
    left: int  # processes and files
    lost: int  # prompts that were finished when the fault came
    messages: int
    log: str


def inject(fault, rank, ranks, gpu, folder, program):
    offload = folder / "offload"
    offload.mkdir()
    output = (offload if fault.small_disk else folder) / "out.jsonl"
    log = folder / "run.log"
    if fault.small_disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(offload)], check=True)  # takes root
    words = ["--input", str(folder / "in.jsonl"), "--output", str(output), "--ignore-eos", "--gpu-batch-size", "2",
             "--offload-dir", str(offload), *fault.flags]
    begin = time.monotonic()
    run = Run(program, ranks, words, log, fault.shell.replace("{rank}", str(rank)), gpu)
    stopped, finished = None, 0
    if fault.signal:
        if not run.wait_for(lambda: journaled(output) >= 5 and len(run.ranks()) == ranks):
            sys.exit(f"{fault.name}: the run ended by itself: " + log.read_text())
        stopped = run.ranks()[rank]
        finished = journaled(output)
        begin = time.monotonic()
        send(stopped, fault.signal)
    elif "OPTPIPE_TEST_FAULT" in fault.shell:
        run.wait_for(lambda: "cuda_fault:" in log.read_text())
        begin = time.monotonic()
        finished = journaled(output)
    status = run.finish(120)
    seconds = time.monotonic() - begin
    left = list(run.ranks().values())
    if fault.signal == STOP and stopped in left:
        send(stopped, CONTINUE)
    files = [path for path in offload.iterdir() if path != output.with_name("out.jsonl.journal")]
    text = log.read_text()
    messages = [line for line in text.splitlines() if line.startswith("optpipe: error")]
    lost = max(0, finished - journaled(output))
    for path in [output.with_name("out.jsonl.journal"), output]:
        path.unlink(missing_ok=True)
    if fault.small_disk:
        subprocess.run(["umount", str(offload)], check=True)
    offload.rmdir()
    return Outcome(seconds, status, len(left) + len(files), lost, len(messages), text)


def spread(numbers):
    return str(min(numbers)) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--program", default=str(ROOT / "build/default/bin/optpipe"))
    parser.add_argument("--gpus", type=int, default=0, help="ranks with a GPU each, instead of three CPU ranks")
    parser.add_argument("--comm-device", default="cpu", choices=["cpu", "gpu"])
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--show", action="store_true", help="the first message of each fault, too")
    options = parser.parse_args()
    ranks = options.gpus or 3
    faults = gpu_faults(options.program, options.comm_device) if options.gpus else cpu_faults()
    failed = False
    print("| fault | times | end: median | worst | status | messages | left behind | lost |\n| " + "--- | " * 8)
    for fault in [fault for fault in faults if options.only in fault.name]:
        outcomes = []
        for i in range(options.times):
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                write_prompts(folder / "in.jsonl", 20000)
                outcomes.append(inject(fault, i % ranks, ranks, options.gpus > 0, folder, options.program))
            if outcomes[-1].status not in fault.statuses or not re.search(fault.says, outcomes[-1].log):
                print(f"{fault.name}: status {outcomes[-1].status}\n{outcomes[-1].log}", file=sys.stderr)
                failed = True
        times = [outcome.seconds for outcome in outcomes]
        left, lost = sum(outcome.left for outcome in outcomes), sum(outcome.lost for outcome in outcomes)
        failed = failed or left > 0 or lost > 0
        statuses = ", ".join(map(str, sorted({outcome.status for outcome in outcomes})))
        print(f"| {fault.name} | {len(times)} | {statistics.median(times):.1f} s | {max(times):.1f} s | {statuses} "
              f"| {spread([outcome.messages for outcome in outcomes])} | {left} | {lost} |", flush=True)
        if options.show:
            print(*[line for line in outcomes[0].log.splitlines() if line.startswith("optpipe: error")][:1], flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
