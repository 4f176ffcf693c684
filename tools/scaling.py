#!/usr/bin/env python3
"""Runs a workload over 1 ... N ranks and shows how it scales: a table, JSON, and plots as PNG and SVG.

  python3 tools/scaling.py --ranks 1 2 4 --repeats 3 --output scaling           # OPT-125M shape on CPU ranks
  python3 tools/scaling.py --ranks 1 2 4 8 --output scaling --device cuda -- --model facebook/opt-6.7b --path DUMMY \\
      --gpu-batch-size 24
  python3 tools/scaling.py --replot scaling/scaling.json --output scaling       # draws again, runs nothing

What follows "--" goes to optpipe bench instead of the default workload. "Weak": --gpu-batch-size stays, so prompts in
flight grow with the ranks. "Strong": as many prompts in flight as with one rank, cut into smaller micro-batches; their
number must be a multiple of the numbers of ranks. Several nodes: --launch "mpirun --hostfile FILE". Ranks of one node
share its cores evenly (--threads to change that).
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKLOAD = ["--model", "facebook/opt-125m", "--path", "DUMMY", "--prompt-len", "128", "--gen-len", "32"]
# Told apart by eyes that see no difference of red and green, too; what is no work is grey. As in plot_trace.py.
ACTIVITIES = {
    "compute": "#4477aa", "host": "#66ccee", "load": "#ee6677", "store": "#aa3377", "disk_read": "#ccbb44",
    "disk_write": "#999933", "send": "#88cc88", "recv": "#228833", "waiting": "#bbbbbb", "fill": "#e4e4e4", "drain": "#888888",
}
MODES = {"weak": "#0072b2", "strong": "#d55e00"}


def mpi_flags():
    script = 'source "$0/launch/mpi-flags.sh"; printf "%s\\n" "${mpirun_flags[@]}"'
    return subprocess.run(["bash", "-c", script, str(ROOT)], check=True, capture_output=True, text=True).stdout.split()


def run_once(options, ranks, batch):
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = [*options.launch.split(), "-n", str(ranks), *mpi_flags(), options.program, "bench", *options.words,
                 "--device", options.device, "--gpu-batch-size", str(batch), "--threads", str(threads(options, ranks)),
                 "--no-log", "--verbose", "0", "--json", str(report)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=options.timeout)
        except OSError as error:
            sys.exit(f"scaling.py: --launch {options.launch}: {error.strerror}")
        except subprocess.TimeoutExpired:
            sys.exit(f"scaling.py: not done after {options.timeout:.0f} s (--timeout): {' '.join(words)}")
        if done.returncode != 0:
            why = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
            sys.exit(f"scaling.py: status {done.returncode} of {' '.join(words)}: {why}")
        return json.loads(report.read_text())


def read_results(path):
    try:
        data = json.loads(Path(path).read_text())
        for row in data["rows"]:
            row["total_token_s_each"], row["shares"]["decode"]["compute"]
        return data
    except OSError as error:
        sys.exit(f"scaling.py: --replot {path}: {error.strerror}")
    except (ValueError, KeyError, TypeError):
        sys.exit(f"scaling.py: --replot {path}: no results of this tool (scaling.json)")


def threads(options, ranks):
    return options.threads or max(1, (os.cpu_count() or 1) // ranks)


def summarize(mode, ranks, reports):
    """One row: medians of the repeats, and where the time of all ranks together went, as shares."""
    result = {key: statistics.median(report["result"][key] for report in reports)
              for key in ("prefill_s", "decode_s", "total_s", "prefill_token_s", "decode_token_s", "total_token_s")}
    shares = {}
    for phase in ("prefill", "decode"):
        sums = {a: sum(rank["split"][phase][a] for report in reports for rank in report["ranks"]) for a in ACTIVITIES}
        total = sum(sums.values())
        shares[phase] = {a: seconds / total for a, seconds in sums.items()}
    each = [report["result"]["total_token_s"] for report in reports]
    return {"mode": mode, "ranks": ranks, "prompts": reports[0]["result"]["prompts"], **result,
            "total_token_s_each": each, "shares": shares}


def measure(options):
    rows = []
    for mode in options.modes:
        for ranks in options.ranks:
            if mode == "strong" and options.batch % ranks:
                sys.exit(f"scaling.py: --batch {options.batch} is no multiple of {ranks} ranks: strong scaling needs one")
            batch = options.batch // ranks if mode == "strong" else options.batch
            rows.append(summarize(mode, ranks, [run_once(options, ranks, batch) for _ in range(options.repeats)]))
            print(line_of(rows[-1], rows), flush=True)
    return rows


def base_of(row, rows):
    return next(each for each in rows if each["mode"] == row["mode"])


def efficiency(row, rows, key="total_token_s"):
    base = base_of(row, rows)
    return row[key] / base[key] / (row["ranks"] / base["ranks"])


HEADING = (f"{'mode':6} {'ranks':>5} {'prompts':>7} {'prefill s':>9} {'decode s':>9} {'total token/s':>13} "
           f"{'efficiency':>10} {'decode':>7}")


def line_of(row, rows):
    return (f"{row['mode']:6} {row['ranks']:5} {row['prompts']:7} {row['prefill_s']:9.3f} {row['decode_s']:9.3f} "
            f"{row['total_token_s']:13.1f} {100 * efficiency(row, rows):8.0f} % "
            f"{100 * efficiency(row, rows, 'decode_token_s'):5.0f} %")


def plot(rows, title, folder):
    try:
        import matplotlib
    except ImportError:
        sys.exit("scaling.py: the table and JSON are written; pictures need matplotlib: apt-get install python3-matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (throughput, share, split) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    for mode in modes:
        own = [row for row in rows if row["mode"] == mode]
        ranks = [row["ranks"] for row in own]
        middle = [row["total_token_s"] for row in own]
        low = [m - min(row["total_token_s_each"]) for m, row in zip(middle, own)]
        high = [max(row["total_token_s_each"]) - m for m, row in zip(middle, own)]
        colour = MODES[mode]
        throughput.errorbar(ranks, middle, yerr=[low, high], marker="o", capsize=3, color=colour, label=mode)
        throughput.plot(ranks, [middle[0] * n / ranks[0] for n in ranks], "--", color=colour, alpha=0.4)
        share.plot(ranks, [100 * efficiency(row, rows) for row in own], "o-", color=colour, label=f"{mode}, all")
        share.plot(ranks, [100 * efficiency(row, rows, "decode_token_s") for row in own], "s:", color=colour,
                   markerfacecolor="white", label=f"{mode}, decode")
    all_ranks = sorted({row["ranks"] for row in rows})
    for axes in (throughput, share):
        axes.set_xticks(all_ranks)
        axes.set_xlabel("ranks")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    throughput.set_ylabel("total throughput, token/s (dashed: linear)")
    share.set_ylabel("efficiency, %")

    own = [row for row in rows if row["mode"] == modes[0]]
    names = [f"{row['ranks']}\n{phase}" for row in own for phase in ("prefill", "decode")]
    bottom = [0.0] * len(names)
    for activity, colour in ACTIVITIES.items():
        values = [100 * row["shares"][phase][activity] for row in own for phase in ("prefill", "decode")]
        if max(values) < 0.5:
            continue
        split.bar(names, values, bottom=bottom, label=activity, color=colour)
        bottom = [b + v for b, v in zip(bottom, values)]
    split.set_ylabel(f"share of all ranks' time, % ({modes[0]})")
    split.set_xlabel("ranks, phase")
    split.tick_params(axis="x", labelsize=7)
    split.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.suptitle(title, fontsize=10)
    for ending in ("png", "svg"):
        figure.savefig(folder / f"scaling.{ending}", dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/default/bin/optpipe"))
    parser.add_argument("--launch", default="mpirun", help="what starts the ranks; -n and the usual flags are added")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--modes", nargs="+", choices=["weak", "strong"], default=["weak", "strong"])
    parser.add_argument("--batch", type=int, default=8, help="--gpu-batch-size of one rank")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="of each rank (0: the cores over the ranks)")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that one run may take")
    parser.add_argument("--title", help="of the plots; by default the workload")
    parser.add_argument("--output", default="scaling", metavar="DIR")
    parser.add_argument("--replot", metavar="FILE", help="draw from this scaling.json instead of running")
    parser.add_argument("words", nargs="*", help="workload, after --")
    options = parser.parse_args()
    options.words = options.words or WORKLOAD
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    if options.replot:
        data = read_results(options.replot)
    else:
        if shutil.which(options.program) is None:
            sys.exit(f"scaling.py: --program {options.program}: there is no such program; build it, or name another")
        print(HEADING, flush=True)
        data = {"workload": options.words, "device": options.device, "repeats": options.repeats,
                "rows": measure(options)}
        (folder / "scaling.json").write_text(json.dumps(data, indent=2))
    rows = data["rows"]
    table = "\n".join([HEADING, *(line_of(row, rows) for row in rows)]) + "\n"
    (folder / "scaling.txt").write_text(table)
    if options.replot:
        print(table, end="")
    plot(rows, options.title or " ".join(data["workload"]), folder)


if __name__ == "__main__":
    main()
