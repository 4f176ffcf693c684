"""Greedy decoding by Hugging Face transformers, and checks that the result can find faults."""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import OPTForCausalLM


@dataclass
class Run:
    """What greedy decoding of one prompt gave."""

    prompt: list[int]
    tokens: list[int]
    first_logits: torch.Tensor  # [V], fp32
    margins: list[float]  # top-1 minus top-2 logit of each step
    spreads: list[float]  # standard deviation of each step's logits


@torch.no_grad()
def decode(
    model: OPTForCausalLM,
    prompt: list[int],
    new_tokens: int,
    stop: int | None = None,
    least_margin: float = 0.0,
) -> Run:
    """Greedy tokens with the key-value cache.

    Ends early after token `stop`, which is part of the result, and after a step whose margin is below
    `least_margin` times the spread of its logits.
    """
    run = Run(prompt, [], torch.empty(0), [], [])
    ids, cache = torch.tensor([prompt]), None
    while len(run.tokens) < new_tokens:
        out = model(input_ids=ids, past_key_values=cache, use_cache=True)
        logits, cache = out.logits[0, -1], out.past_key_values
        if not run.tokens:
            run.first_logits = logits
        top = logits.topk(2).values
        run.margins.append((top[0] - top[1]).item())
        run.spreads.append(logits.std().item())
        run.tokens.append(int(logits.argmax()))
        if run.tokens[-1] == stop or run.margins[-1] < least_margin * run.spreads[-1]:
            break
        ids = torch.tensor([run.tokens[-1:]])
    return run


@contextmanager
def rounded_cache(model: OPTForCausalLM, dtype: torch.dtype):
    """Rounds keys and values to `dtype`, as an engine does whose cache is narrower than its arithmetic."""
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: output.to(dtype).float())
        for name, module in model.named_modules()
        if name.endswith(("k_proj", "v_proj"))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def unseen_tensors(model: OPTForCausalLM, prompt: list[int]) -> list[str]:
    """Names of tensors whose perturbation leaves the logits of `prompt` within 1 % of their spread.

    The keys' bias is left out: it adds the same number to all scores of a query, which softmax takes away.
    """
    ids = torch.tensor([prompt])
    before = model(input_ids=ids).logits
    unseen = []
    for name, parameter in model.named_parameters():
        if name.endswith("k_proj.bias"):
            continue
        kept = parameter.clone()
        generator = torch.Generator().manual_seed(len(name))
        parameter.add_(0.3 * parameter.std() * torch.randn(parameter.shape, generator=generator))
        change = (model(input_ids=ids).logits - before).abs().max() / before.std()
        parameter.copy_(kept)
        if change < 0.01:
            unseen.append(name)
    return unseen
