#!/usr/bin/env python3
"""Draws a trace (optpipe ... --trace FILE) as a picture: a band a rank, a lane a queue, a box a step.

  python3 tools/plot_trace.py trace.json timeline.png             # or .svg, .pdf
  python3 tools/plot_trace.py trace.json timeline.svg --from 1.2 --to 1.5 --ranks 0 1
"""
import argparse
import json
import sys
from pathlib import Path

COLOURS = {
    "compute": "#4477aa", "host": "#66ccee", "load": "#ee6677", "store": "#aa3377", "disk_read": "#ccbb44",
    "disk_write": "#999933", "recv": "#228833", "send": "#88cc88",
}
PREFILL_ALPHA, DECODE_ALPHA = 1.0, 0.65  # prefill is drawn in full colour, decode lighter
WAITING_ALPHA = 0.2  # a send that waits for its peer


def read_trace(path):
    """Names of ranks, and steps as (rank, queue, token step, begin, end, of it waited for a peer) in seconds."""
    labels, steps = {}, []
    for event in json.loads(Path(path).read_text())["traceEvents"]:
        if event["ph"] == "M" and event["name"] == "process_name":
            labels[event["pid"]] = event["args"]["name"]
        if event["ph"] == "X":
            begin = event["ts"] / 1e6
            steps.append((event["pid"], event["cat"], event["args"]["token_step"], begin, begin + event["dur"] / 1e6,
                          event["args"].get("waited_us", 0) / 1e6))
    return labels, steps


def lanes_of(steps, ranks):
    """Row of each (rank, queue) that has steps, from the top down, with a gap between ranks."""
    rows, row = {}, 0.0
    for rank in ranks:
        for queue in COLOURS:
            if any(step[0] == rank and step[1] == queue for step in steps):
                rows[rank, queue] = row
                row += 1
        row += 0.6
    return rows


def draw(labels, steps, ranks, begin, end, title):
    try:
        import matplotlib
    except ImportError:
        sys.exit("plot_trace.py: needs matplotlib: apt-get install python3-matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Patch

    steps = [step for step in steps if step[0] in ranks and step[4] >= begin and step[3] <= end]
    rows = lanes_of(steps, ranks)
    figure, axes = plt.subplots(figsize=(11, 1.2 + 0.24 * len(rows) + 0.25 * len(ranks)), layout="constrained")
    boxes, colours = [], []
    least = (end - begin) / 4000  # what is shorter than a pixel is still seen
    for rank, queue, token_step, first, last, waited in steps:
        top = rows[rank, queue]
        worked = min(first + waited, last - least)
        alpha = PREFILL_ALPHA if token_step == 0 else DECODE_ALPHA
        for left, right, strength in ((first, worked, WAITING_ALPHA), (max(first, worked), max(last, first + least), alpha)):
            if right > left:
                boxes.append([(left, top + 0.08), (right, top + 0.08), (right, top + 0.92), (left, top + 0.92)])
                colours.append(matplotlib.colors.to_rgba(COLOURS[queue], strength))
    axes.add_collection(PolyCollection(boxes, facecolors=colours, linewidths=0))
    axes.set_xlim(begin, end)
    axes.set_ylim(max(rows.values(), default=0) + 1.2, -0.9)
    axes.set_yticks([row + 0.5 for row in rows.values()], [queue for _, queue in rows], fontsize=8)
    for rank in ranks:
        own = [row for (each, _), row in rows.items() if each == rank]
        if own:
            axes.text(begin, min(own) - 0.1, f" {labels.get(rank, f'rank {rank}')}", fontsize=8, va="bottom")
    axes.set_xlabel("seconds (full colour: prefill, light: decode, faint: waiting for a peer)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    shown = [queue for queue in COLOURS if any(key[1] == queue for key in rows)]
    axes.legend(handles=[Patch(color=COLOURS[queue], label=queue) for queue in shown], ncols=len(shown), fontsize=8,
                loc="upper center", bbox_to_anchor=(0.5, -0.22 if len(rows) < 8 else -0.12), frameon=False)
    if title:
        axes.set_title(title, fontsize=10)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("picture", help="file to write; its ending says the format")
    parser.add_argument("--from", dest="begin", type=float, metavar="SECONDS", help="since the earliest step")
    parser.add_argument("--to", dest="end", type=float, metavar="SECONDS")
    parser.add_argument("--ranks", type=int, nargs="+", help="only these")
    parser.add_argument("--title", default="")
    options = parser.parse_args()
    try:
        labels, steps = read_trace(options.trace)
    except OSError as error:
        sys.exit(f"plot_trace.py: {options.trace}: {error.strerror}")
    except (ValueError, KeyError, TypeError):
        sys.exit(f"plot_trace.py: {options.trace}: no trace that optpipe wrote")
    if not steps:
        sys.exit(f"plot_trace.py: {options.trace} holds no steps")
    ranks = options.ranks if options.ranks is not None else sorted({step[0] for step in steps})
    unknown = set(ranks) - {step[0] for step in steps}
    if unknown:
        sys.exit(f"plot_trace.py: {options.trace} has no rank {min(unknown)}")
    begin = options.begin if options.begin is not None else min(step[3] for step in steps)
    end = options.end if options.end is not None else max(step[4] for step in steps)
    try:
        draw(labels, steps, ranks, begin, end, options.title).savefig(options.picture, dpi=130)
    except (OSError, ValueError) as error:  # no such folder, or a format that matplotlib does not write
        sys.exit(f"plot_trace.py: {options.picture}: {error}")


if __name__ == "__main__":
    main()
