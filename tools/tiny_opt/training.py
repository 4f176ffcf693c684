"""Trains an OPT on packed documents; later on, half of the weights are rounded to 4 bits in each step."""

import math
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import OPTConfig, OPTForCausalLM

from . import quality, vocabulary

POSITIONS = 1024


@dataclass
class Schedule:
    steps: int
    seconds: float  # the learning rate reaches its end after `steps` or `seconds`, whichever comes first
    tokens_per_step: int = 65536
    peak_rate: float = 2e-3
    warmup: int = 200
    rounding_from: float = 0.3  # share of the training after which weights are rounded at random
    weight_decay: float = 0.1

    def rate(self, step: int, done: float) -> float:
        """A short warm-up, then a cosine down to nearly nothing."""
        return (
            self.peak_rate * min(1, (step + 1) / self.warmup) * max(0.005, (1 + math.cos(math.pi * done)) / 2)
        )


def new_model() -> OPTForCausalLM:
    return OPTForCausalLM(
        OPTConfig(
            vocab_size=vocabulary.SIZE,
            hidden_size=192,
            num_hidden_layers=8,
            num_attention_heads=3,
            ffn_dim=768,
            max_position_embeddings=POSITIONS,
            dropout=0.0,
            init_std=0.03,
            attn_implementation="sdpa",
        )
    )


class Batches:
    """Rows that begin at the start of a drawn document and run on into those that follow it."""

    def __init__(self, encoded: list[list[int]], tokens_per_step: int, device: torch.device):
        flat, starts = [], []
        for ids in encoded:
            starts.append(len(flat))
            flat += [vocabulary.END_OF_TEXT, *ids]
        usable = [start for start in starts if start + POSITIONS + 1 <= len(flat)]
        self.flat = torch.tensor(flat, dtype=torch.int32, device=device)
        self.starts = torch.tensor(usable, device=device)
        self.tokens_per_step = tokens_per_step

    def draw(self, length: int) -> torch.Tensor:
        """[rows, length + 1] token ids."""
        rows = max(1, self.tokens_per_step // length)
        chosen = self.starts[torch.randint(len(self.starts), (rows,), device=self.starts.device)]
        return self.flat[chosen[:, None] + torch.arange(length + 1, device=self.flat.device)].long()


def loss_of(hidden: torch.Tensor, embedding: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = F.linear(hidden, embedding).float()
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def round_some(parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    """Rounds a random half of the weights to 4 bits in groups of 64; returns the exact ones to put back.

    The gradient is then taken at the rounded weights and applied to the exact ones, so that the model keeps
    its answers when an engine quantizes it.
    """
    exact = [parameter.detach().clone() for parameter in parameters]
    across = torch.rand(()).item() < 0.5
    for parameter in parameters:
        rounded = quality.quantize(parameter.data, across)
        parameter.data.copy_(torch.where(torch.rand_like(rounded) < 0.5, rounded, parameter.data))
    return exact


def train(encoded: list[list[int]], schedule: Schedule, device: torch.device) -> tuple[OPTForCausalLM, int]:
    """The trained model and the number of steps it took."""
    model = new_model().to(device).train()
    batches = Batches(encoded, schedule.tokens_per_step, device)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [
        {"params": matrices, "weight_decay": schedule.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=device.type == "cuda")
    loss_function = loss_of
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        loss_function = torch.compile(loss_of)
        for layer in model.model.decoder.layers:
            layer.compile()
    began, step, done = time.monotonic(), 0, 0.0
    while done < 1.0:
        done = max(step / schedule.steps, (time.monotonic() - began) / schedule.seconds)
        rate = schedule.rate(step, min(1.0, done))
        for group in optimizer.param_groups:
            group["lr"] = rate
        # Short rows teach to begin at position 0, long ones to use every position.
        rows = batches.draw(64 if step % 2 == 0 else POSITIONS)
        exact = round_some(matrices) if done > schedule.rounding_from else []
        with torch.autocast(device.type, torch.bfloat16):
            hidden = model.model.decoder(input_ids=rows[:, :-1], use_cache=False).last_hidden_state
            loss = loss_function(hidden, model.model.decoder.embed_tokens.weight, rows[:, 1:])
        loss.backward()
        for parameter, value in zip(matrices, exact):
            parameter.data.copy_(value)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 250 == 0 or done >= 1.0:
            print(
                f"step {step}, {time.monotonic() - began:.0f} s, rate {rate:.1e}, loss {loss.item():.4f}",
                flush=True,
            )
        step += 1
    return model.eval(), step
