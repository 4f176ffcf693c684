#!/usr/bin/env python3
"""Compares optpipe with Hugging Face transformers on the same CPU cores, same weights, same prompts.

Needs Python 3.10+ with torch, transformers, safetensors and numpy (from PyPI), and a built optpipe:

    python3 tools/compare_hf_cpu.py --optpipe build/default/bin/optpipe --threads 2

Makes an OPT of the given size with random fp16 weights in a temporary folder, lets both systems generate greedily from
the same token prompts in alternation, and prints the median seconds of prefill and of one decode step for optpipe and for
transformers in fp32, fp16 and bf16 (optpipe keeps fp16 weights and computes in fp32). Tokens of the fp32 run are compared.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

SIZES = {"opt-125m": (12, 768, 12), "opt-1.3b": (24, 2048, 32)}


def make_model(size, folder):
    import torch
    from transformers import OPTConfig, OPTForCausalLM

    layers, hidden, heads = SIZES[size]
    torch.manual_seed(1)
    config = OPTConfig(num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads, ffn_dim=4 * hidden,
                       word_embed_proj_dim=hidden, vocab_size=50272, max_position_embeddings=2048)
    model = OPTForCausalLM(config).half()
    model.save_pretrained(folder)


def make_prompts(count, length):
    import numpy

    random = numpy.random.default_rng(2)
    return random.integers(4, 50000, size=(count, length)).tolist()


def run_optpipe(program, folder, prompts, new_tokens, threads):
    lines = "\n".join(json.dumps({"id": i, "tokens": p}) for i, p in enumerate(prompts)) + "\n"
    report = Path(folder) / "report.json"
    command = [program, "--quiet", "generate", "--model", str(folder), "--input", "-", "--ignore-eos", "--max-new-tokens",
               str(new_tokens), "--gpu-batch-size", str(len(prompts)), "--threads", str(threads), "--json", str(report)]
    out = subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout
    result = json.loads(report.read_text())["result"]
    tokens = [json.loads(line)["tokens"] for line in out.splitlines()]
    return result["prefill_s"], result["decode_s"] / (new_tokens - 1), tokens


def run_transformers(model, prompts, new_tokens):
    import torch
    from transformers import DynamicCache

    ids = torch.tensor(prompts)
    cache = DynamicCache(config=model.config)
    tokens = []
    with torch.inference_mode():
        begin = time.perf_counter()
        mask = torch.ones_like(ids)
        out = model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, logits_to_keep=1)
        tokens.append(out.logits[:, -1].argmax(-1))
        prefill = time.perf_counter() - begin
        begin = time.perf_counter()
        for _ in range(new_tokens - 1):
            mask = torch.cat([mask, mask.new_ones(mask.shape[0], 1)], dim=1)
            out = model(input_ids=tokens[-1][:, None], attention_mask=mask, past_key_values=cache, use_cache=True)
            tokens.append(out.logits[:, -1].argmax(-1))
        decode = (time.perf_counter() - begin) / (new_tokens - 1)
    return prefill, decode, torch.stack(tokens, dim=1).tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optpipe", default="build/default/bin/optpipe")
    parser.add_argument("--size", default="opt-125m", choices=SIZES)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=33)
    parser.add_argument("--workloads", nargs="+", default=["1x512", "8x256", "32x64"], help="prompts x tokens")
    args = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        make_model(args.size, folder)
        types = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
        models = {f"transformers {name}": AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
                  for name, dtype in types.items()}
        print(f"{args.size}, {args.threads} threads, {args.repeats} repeats (medians); torch {torch.__version__}")
        for workload in args.workloads:
            count, length = map(int, workload.split("x"))
            prompts = make_prompts(count, length)
            times = {name: [] for name in ["optpipe", *models]}
            tokens = {}
            for _ in range(args.repeats):
                *seconds, tokens["optpipe"] = run_optpipe(args.optpipe, folder, prompts, args.new_tokens, args.threads)
                times["optpipe"].append(seconds)
                for name, model in models.items():
                    *seconds, tokens[name] = run_transformers(model, prompts, args.new_tokens)
                    times[name].append(seconds)
            medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in times.items()}
            own = medians["optpipe"]
            same = sum(a == b for a, b in zip(tokens["optpipe"], tokens["transformers fp32"]))
            print(f"\n{count} prompts of {length} tokens, {args.new_tokens} new; {same} of {count} equal to fp32's tokens")
            for name, (prefill, decode) in medians.items():
                print(f"  {name:18} prefill {prefill:8.3f} s ({prefill / own[0]:5.2f}x)   "
                      f"decode step {decode * 1e3:8.2f} ms ({decode / own[1]:5.2f}x)")


if __name__ == "__main__":
    main()
