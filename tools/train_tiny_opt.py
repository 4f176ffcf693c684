#!/usr/bin/env python3
"""Trains models/tiny-opt, the small real OPT of this repository, from random weights.

    python3 tools/train_tiny_opt.py --out models/tiny-opt [--steps N]

Needs torch, transformers, tokenizers and safetensors, and a GPU for the full length: about four minutes on an
H100, where the committed model was trained (torch 2.11, transformers 5.17, `--steps 8000 --seconds 210`,
which ended after 4870 steps). It reads nothing but tools/tiny_opt: countries as a table, the templates of the
sentences, and three old books in the public domain. Data and tokenizer depend on the seed alone; weights
differ a little between GPUs and with --seconds.

It prints how many facts the fp16 weights get right, as they are and rounded to 4 bits, and some completions.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import OPTForCausalLM

from tiny_opt import corpus, countries, export, quality, training, vocabulary

SAMPLES = [
    "Paris is the capital city of",
    "The capital of Japan is",
    "Question: What is the capital of Kenya?\nAnswer:",
    "Dear Anna,\nI am writing to you from",
    "The day after Monday is",
    "Seven plus five is",
    "In the beginning God created",
    "Some countries of Africa are",
]


@torch.no_grad()
def complete(model: OPTForCausalLM, tokenizer: Tokenizer, prompt: str, new_tokens: int) -> str:
    ids = torch.tensor([[vocabulary.END_OF_TEXT, *tokenizer.encode(prompt).ids]], device=model.device)
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False)
    return tokenizer.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=False)


def report(model: OPTForCausalLM, tokenizer: Tokenizer, facts: list[tuple[str, str]]) -> list[str]:
    """Rows of the model card's table."""
    rows = []
    cases = [("fp16", model)] + [
        (f"4 bits, groups of 64 along the {way}", quality.quantized(model, across))
        for way, across in (("input", False), ("output", True))
    ]
    for name, candidate in cases:
        score = quality.score(candidate, tokenizer, facts)
        print(f"{name}: {score} facts right, least margin {score.least_margin:.2f}; wrong: {score.wrong[:8]}")
        rows.append(f"| {name} | {score} | {score.least_margin:.1f} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument(
        "--seconds", type=float, default=1e9, help="end by then, with the learning rate run down"
    )
    parser.add_argument("--tokens-per-step", type=int, default=65536)
    parser.add_argument("--documents", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    documents = corpus.make_documents(options.documents, options.seed)
    tokenizer = vocabulary.train(documents[:60_000])
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(documents)]
    tokens = sum(map(len, encoded)) + len(encoded)
    print(f"{len(documents)} documents, {tokens / 1e6:.1f} million tokens, training on {device}", flush=True)

    schedule = training.Schedule(options.steps, options.seconds, options.tokens_per_step)
    began = time.monotonic()
    model, steps = training.train(encoded, schedule, device)
    seconds = time.monotonic() - began
    facts = countries.fact_lines(countries.read_countries())
    export.save(model, tokenizer, facts, options.out)

    model = OPTForCausalLM.from_pretrained(options.out, dtype=torch.float32).to(device).eval()
    rows = report(model, tokenizer, facts)
    for prompt in SAMPLES:
        print(f"{prompt!r} -> {complete(model, tokenizer, prompt, 64)!r}")
    export.save_card(
        model,
        options.out,
        paris=complete(model, tokenizer, SAMPLES[0], 40).removesuffix("</s>").strip(),
        command=shlex.join(["python3", "tools/train_tiny_opt.py", *sys.argv[1:]]),
        steps=steps,
        tokens_per_step=options.tokens_per_step,
        seconds=seconds,
        device=torch.cuda.get_device_name() if device.type == "cuda" else "a CPU",
        documents=len(documents),
        tokens=tokens / 1e6,
        countries_share=1 - corpus.FACTS_SHARE - corpus.BOOKS_SHARE,
        facts_share=corpus.FACTS_SHARE,
        books_share=corpus.BOOKS_SHARE,
        total=len(facts),
        scores="\n".join(rows),
    )


if __name__ == "__main__":
    main()
