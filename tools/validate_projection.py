#!/usr/bin/env python3
"""Sets projections of cut runs beside the median of full runs.

  python3 tools/validate_projection.py --repeats 5                    # OPT-125M shape on CPU cores, cuts 4, 8, 16
  python3 tools/validate_projection.py --cuts 4 8 --gen-len 32 -- --model facebook/opt-30b --path DUMMY ...

What follows "--" goes to optpipe bench instead of the default workload. Every repeat runs the full length once and
each cut once, in turn, so that a machine that drifts does so for all of them. Ends with status 1 where the median
projection of a cut is further from the median of the full runs than --within says. For quiet machines: it measures
time.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKLOAD = ["--model", "facebook/opt-125m", "--path", "DUMMY", "--device", "cpu", "--prompt-len", "128",
            "--gpu-batch-size", "8"]


def bench(options, cut):
    """One run; decode seconds of the whole length, measured or projected, and their interval."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = [*options.launch, options.program, "bench", *options.words, "--gen-len", str(options.gen_len), "--no-log",
                 "--verbose", "0", "--json", str(report)]
        if cut:
            words += ["--cut-gen-len", str(cut)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=options.timeout)
        except OSError as error:
            sys.exit(f"validate_projection.py: --program {options.program}: {error.strerror}")
        if done.returncode != 0:
            why = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
            sys.exit(f"validate_projection.py: status {done.returncode} of {' '.join(words)}: {why}")
        projection = json.loads(report.read_text())["projection"]
    return projection["decode_s"], projection["low_s"], projection["high_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/default/bin/optpipe"))
    parser.add_argument("--cuts", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--gen-len", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--within", type=float, default=5, metavar="PERCENT")
    parser.add_argument("--launch", default="", help="words before the program, such as 'mpirun -n 2'")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that one run may take")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    parser.add_argument("words", nargs="*", help="workload, after --")
    options = parser.parse_args()
    options.words = options.words or WORKLOAD
    options.launch = options.launch.split()

    runs = {cut: [] for cut in [None, *options.cuts]}
    for _ in range(options.repeats):
        for cut in runs:
            runs[cut].append(bench(options, cut))
    full = statistics.median(decode for decode, _, _ in runs[None])
    spread = [decode for decode, _, _ in runs[None]]
    print(f"full run: decode {full:.3f} s (median of {options.repeats}; {min(spread):.3f} to {max(spread):.3f})")
    table, worst = [], 0
    for cut in options.cuts:
        projected = statistics.median(decode for decode, _, _ in runs[cut])
        error = 100 * (projected / full - 1)
        worst = max(worst, abs(error))
        inside = sum(low <= full <= high for _, low, high in runs[cut])
        each = " ".join(f"{100 * (decode / full - 1):+.1f}" for decode, _, _ in runs[cut])
        print(f"cut at {cut:3}: projected {projected:.3f} s, {error:+.2f} % (each: {each}); "
              f"the interval holds the full run's median in {inside} of {options.repeats}")
        table.append({"cut_gen_len": cut, "decode_s": projected, "error_percent": error, "inside": inside,
                      "each_s": [decode for decode, _, _ in runs[cut]]})
    if options.json:
        Path(options.json).write_text(json.dumps({"full_s": full, "each_full_s": spread, "cuts": table}, indent=2))
    if worst > options.within:
        sys.exit(f"a projection is {worst:.1f} % off, more than {options.within} %")


if __name__ == "__main__":
    main()
