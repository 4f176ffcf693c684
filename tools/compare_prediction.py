#!/usr/bin/env python3
"""Predictions of `optpipe plan` beside measured runs, policy by policy.

  compare_prediction.py measure --optpipe build/default/bin/optpipe --cases gpu --output measured.json
  compare_prediction.py compare --optpipe build/default/bin/optpipe measured.json

`measure` probes this machine, runs `optpipe generate` with random weights and prompts for each case, and keeps what
both report. `compare` needs neither a GPU nor the machine: it lets `optpipe plan` predict the same runs from the
probed description, and prints predicted, measured and their ratio. It fails (exit status 1) where a ratio is outside
--tolerance and the measured phase takes more than 50 ms.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time

# name: (ranks, model, prompt tokens, new tokens, flags)
GPU_CASES = {
    "6.7B 32x1, all on the GPU": (1, "opt-6.7b", 512, 32, "--gpu-batch-size 32"),
    "6.7B 4x1, all on the GPU": (1, "opt-6.7b", 512, 32, "--gpu-batch-size 4"),
    "6.7B 32x1, half of the weights on the host": (1, "opt-6.7b", 512, 8, "--gpu-batch-size 32 --percent 50 50 100 0 100 0"),
    "6.7B 16x3, half of the KV on the host": (1, "opt-6.7b", 512, 8, "--gpu-batch-size 16 --num-gpu-batches 3 --percent 100 0 50 50 100 0"),
    "6.7B 16x3, activations on the host": (1, "opt-6.7b", 512, 8, "--gpu-batch-size 16 --num-gpu-batches 3 --percent 100 0 100 0 0 100"),
    "6.7B 24x2, everything on the host": (1, "opt-6.7b", 512, 6, "--gpu-batch-size 24 --num-gpu-batches 2 --percent 0 100 0 100 0 100"),
    "30B 48x2, 20 80 0 100 0 100": (1, "opt-30b", 512, 6, "--gpu-batch-size 48 --num-gpu-batches 2 --percent 20 80 0 100 0 100"),
}
TWO_GPU_CASES = {
    "6.7B 24x1, 2 ranks": (2, "opt-6.7b", 512, 16, "--gpu-batch-size 24"),
    "6.7B 24x1, 2 ranks through host memory": (2, "opt-6.7b", 512, 16, "--gpu-batch-size 24 --comm-device cpu"),
}
CPU_CASES = {
    "125M 8x1, all in working memory": (1, "opt-125m", 128, 16, "--gpu-batch-size 8"),
    "125M 1x1": (1, "opt-125m", 128, 32, "--gpu-batch-size 1"),
    "125M 4x2, weights streamed": (1, "opt-125m", 128, 8, "--gpu-batch-size 4 --num-gpu-batches 2 --percent 0 100 100 0 100 0"),
    "125M 4x2, KV streamed": (1, "opt-125m", 128, 16, "--gpu-batch-size 4 --num-gpu-batches 2 --percent 100 0 0 100 100 0"),
    "125M 4x2, half of everything": (1, "opt-125m", 128, 8, "--gpu-batch-size 4 --num-gpu-batches 2 --percent 50 50 50 50 50 50"),
    "125M 4x1, 2 ranks": (2, "opt-125m", 128, 16, "--gpu-batch-size 4"),
}


def launch(ranks, words):
    """The command on so many ranks, as launch/mpi-flags.sh has it."""
    if ranks == 1:
        return words
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return ["bash", "-c", f"source '{here}/launch/mpi-flags.sh' && exec mpirun -n {ranks} \"${{mpirun_flags[@]}}\" \"$@\"",
            "mpi"] + words


def prompts_in_flight(ranks, flags):
    words = flags.split()
    value = lambda flag, default: int(words[words.index(flag) + 1]) if flag in words else default
    return value("--gpu-batch-size", 1) * value("--num-gpu-batches", 1) * ranks


def run(words, timeout):
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: exit status {done.returncode}\n{done.stderr[-800:]}")
    return done.stdout


def measure(options):
    cases = {"gpu": GPU_CASES, "gpu2": TWO_GPU_CASES, "cpu": CPU_CASES}[options.cases]
    device = ["--device", "cpu"] if options.cases == "cpu" else []
    measured = {"machines": {}, "cases": []}
    with tempfile.TemporaryDirectory() as folder:
        for ranks in sorted({case[0] for case in cases.values()}):
            file = f"{folder}/machine.json"
            begin = time.time()
            print(run(launch(ranks, [options.optpipe, "probe", "--json", file] + device), 200), flush=True)
            print(f"probe of {ranks} rank(s): {time.time() - begin:.1f} s", flush=True)
            measured["machines"][str(ranks)] = json.load(open(file))
        for name, (ranks, model, prompt, new, flags) in cases.items():
            if options.only and options.only not in name:
                continue
            tokens = f"{folder}/tokens.jsonl"
            engine = random.Random(1)
            with open(tokens, "w") as file:
                for i in range(prompts_in_flight(ranks, flags)):
                    file.write(json.dumps({"id": i, "tokens": [engine.randrange(4, 50000) for _ in range(prompt)]}) + "\n")
            report = f"{folder}/report.json"
            words = [options.optpipe, "generate", "--model", model, "--path", "DUMMY", "--input", tokens, "--output",
                     f"{folder}/out.jsonl", "--ignore-eos", "--max-new-tokens", str(new), "--json", report]
            runs = []
            begin = time.time()
            try:
                for _ in range(options.repeats):
                    run(launch(ranks, words + device + flags.split()), options.timeout)
                    runs.append(json.load(open(report)))
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print(f"{name}: not measured: {error}", flush=True)
                continue
            runs.sort(key=lambda each: each["result"]["total_s"])
            middle = runs[len(runs) // 2]
            measured["cases"].append({"name": name, "ranks": ranks, "model": model, "prompt": prompt, "new": new,
                                      "flags": flags, "device": device, "report": middle})
            result = middle["result"]
            print(f"{name}: prefill {result['prefill_s']:.3f} s, decode {result['decode_s']:.3f} s "
                  f"({time.time() - begin:.0f} s with set-up)", flush=True)
    json.dump(measured, open(options.output, "w"), indent=1)


def compare(options):
    try:
        measured = json.load(open(options.measured))
    except OSError as error:
        sys.exit(f"compare_prediction.py: {options.measured}: {error.strerror}")
    except ValueError:
        sys.exit(f"compare_prediction.py: {options.measured}: no file that `measure` wrote")
    worst = 0
    print("| policy | phase | predicted s | measured s | ratio | predicted to bind | measured |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for case in measured["cases"]:
            machine, plan = f"{folder}/machine.json", f"{folder}/plan.json"
            json.dump(measured["machines"][str(case["ranks"])], open(machine, "w"))
            run([options.optpipe, "plan", "--model", case["model"], "--path", "DUMMY", "--machine", options.machine or machine,
                 "--ranks", str(case["ranks"]), "--prompt-len", str(case["prompt"]), "--gen-len", str(case["new"]),
                 "--json", plan] + case["device"] + case["flags"].split(), 120)
            predicted = json.load(open(plan))["result"]
            for phase in ("prefill", "decode"):
                a, b = predicted[f"{phase}_s"], case["report"]["result"][f"{phase}_s"]
                binds = [json.load(open(plan))["ranks"][0]["phases"][phase], case["report"]["ranks"][0]["phases"][phase]]
                binds = [each["binds"] if each else "-" for each in binds]
                if b > 0.05:
                    worst = max(worst, abs(a / b - 1))
                print(f"| {case['name']} | {phase} | {a:.3f} | {b:.3f} | {a / b:.2f} | {binds[0]} | {binds[1]} |")
    print(f"worst: {worst * 100:.0f} %")
    return 0 if worst <= options.tolerance else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    a = commands.add_parser("measure")
    a.add_argument("--optpipe", required=True)
    a.add_argument("--cases", choices=["gpu", "gpu2", "cpu"], required=True)
    a.add_argument("--only", help="cases whose name holds this")
    a.add_argument("--repeats", type=int, default=1, help="runs of each case; the median counts")
    a.add_argument("--timeout", type=float, default=200, help="seconds for each run")
    a.add_argument("--output", required=True)
    b = commands.add_parser("compare")
    b.add_argument("--optpipe", required=True)
    b.add_argument("--machine", help="instead of the probed one")
    b.add_argument("--tolerance", type=float, default=0.15)
    b.add_argument("measured")
    options = parser.parse_args()
    return measure(options) if options.command == "measure" else compare(options)


sys.exit(main())
