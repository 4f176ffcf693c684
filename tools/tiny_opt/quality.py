"""How many facts a model gets right greedily, in full precision and with 4-bit weights."""

import copy
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from transformers import OPTForCausalLM

from .vocabulary import END_OF_TEXT

GROUP = 64
LEVELS = 15  # steps between a group's least and greatest value in 4 bits


@dataclass
class Score:
    right: int
    total: int
    least_margin: float  # the smallest top-1 minus top-2 logit of the right answers' tokens
    wrong: list[str]

    def __str__(self) -> str:
        return f"{self.right} of {self.total}"


def quantize(weight: torch.Tensor, across: bool) -> torch.Tensor:
    """`weight` [rows, columns] rounded to 4 bits between the least and greatest value of each group of 64.

    Groups lie along the columns, or along the rows if `across`.
    """
    grouped = (weight.T if across else weight).contiguous()
    shape = grouped.shape
    pad = -grouped.numel() % GROUP
    grouped = torch.nn.functional.pad(grouped.flatten(), (0, pad)).view(-1, GROUP)
    least, most = grouped.amin(1, keepdim=True), grouped.amax(1, keepdim=True)
    scale = ((most - least) / LEVELS).clamp_min(1e-8)
    rounded = ((grouped - least) / scale).round() * scale + least
    rounded = rounded.flatten()[: shape.numel()].view(shape)
    return rounded.T if across else rounded


def quantized(model: OPTForCausalLM, across: bool) -> OPTForCausalLM:
    model = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(quantize(parameter, across))
    return model


@torch.no_grad()
def score(model: OPTForCausalLM, tokenizer: Tokenizer, facts: list[tuple[str, str]]) -> Score:
    """Greedy decoding gives the expected tokens if each is the likeliest after those before it."""
    starts, sequences = [], []
    for prompt, expected in facts:
        whole = f"{prompt} {expected}" + ("" if expected.endswith(".") else ".")
        starts.append(1 + len(tokenizer.encode(prompt).ids))
        sequences.append([END_OF_TEXT, *tokenizer.encode(whole).ids])
    longest = max(map(len, sequences))
    padded = torch.tensor([ids + [1] * (longest - len(ids)) for ids in sequences], device=model.device)
    logits = model(input_ids=padded, attention_mask=torch.ones_like(padded)).logits.float()
    result = Score(0, len(facts), float("inf"), [])
    for row, (ids, start) in enumerate(zip(sequences, starts)):
        steps = logits[row, start - 1 : len(ids) - 1]
        if steps.argmax(1).tolist() == ids[start:]:
            top = steps.topk(2).values
            result.right += 1
            result.least_margin = min(result.least_margin, (top[:, 0] - top[:, 1]).min().item())
        else:
            result.wrong.append(facts[row][0])
    return result
