#!/usr/bin/env python3
"""The least time that any program could need for a workload: bytes and operations over measured ceilings.

Counts what must be moved and computed, divides each by its ceiling, and takes the largest, for prefill, for a mean
decode step, and for the whole run. docs/performance.md says where the ceilings come from.
"""
from dataclasses import dataclass

# layers, hidden
SIZES = {"opt-125m": (12, 768), "opt-1.3b": (24, 2048), "opt-6.7b": (32, 4096), "opt-13b": (40, 5120),
         "opt-30b": (48, 7168), "opt-66b": (64, 9216), "opt-175b": (96, 12288)}
VOCABULARY = 50272
GB = 1e9


@dataclass(frozen=True)
class Ceilings:
    """GB/s and TFLOP/s of one machine."""

    link: float  # host to GPU, one GPU
    all_links: float  # of all GPUs at once
    cores: float  # host memory read by all cores alone
    host: float  # by cores and GPUs together
    gpu: float  # GPU memory
    tflops: float  # fp16 products


CEILINGS = {"H200": Ceilings(55.4, 167, 195, 210, 4200, 700), "H100": Ceilings(55.0, 55.0, 133, 163, 2950, 700)}


@dataclass(frozen=True)
class Workload:
    model: str
    batch: int
    gpu_batches: int
    percent: tuple
    ranks: int = 1
    looped: bool = False
    attention: str = "gpu"  # gpu, or split: between GPU and cores so that both end together
    weight_bits: float = 16  # 4.5: groups of 64 values of 4 bits with scale and minimum in fp16
    kv_bits: float = 16
    prompt: int = 512
    new: int = 32

    @property
    def prompts(self):
        return self.batch * self.gpu_batches * self.ranks

    @property
    def flags(self):
        flags = ["--model", f"facebook/{self.model}", "--gpu-batch-size", str(self.batch), "--num-gpu-batches",
                 str(self.gpu_batches), "--percent", *map(str, self.percent), "--prompt-len", str(self.prompt),
                 "--gen-len", str(self.new)]
        if self.looped:
            flags += ["--stages", "looped"]
        if self.weight_bits < 8:
            flags += ["--compress-weight"]
        if self.kv_bits < 8:
            flags += ["--compress-cache"]
        return flags


@dataclass(frozen=True)
class Floor:
    prefill: dict  # seconds by resource
    decode_step: dict
    total_s: float
    token_s: float
    host_bytes: float
    gpu_bytes: float  # of all GPUs: what the policy puts there

    @staticmethod
    def binds(seconds):
        return max(seconds, key=seconds.get)


def floor_of(w, c):
    layers, hidden = SIZES[w.model]
    matrices = layers * (12 * hidden**2 + 13 * hidden)  # parameters of all layers
    head = VOCABULARY * hidden
    on_gpu, kv_on_gpu = w.percent[0] / 100, w.percent[2] / 100
    links = min(c.link * w.ranks, c.all_links)
    # Contiguous stages read streamed weights once a micro-batch, looped ones once a token step.
    reads = 1 if w.looped or w.ranks == 1 else w.ranks
    streamed = matrices * w.weight_bits / 8 * (1 - on_gpu) * reads
    kv_of_token = 2 * layers * hidden * w.kv_bits / 8
    kv = w.prompts * (w.prompt + (w.new - 1) / 2) * kv_of_token
    kv_host = kv * (1 - kv_on_gpu)

    attention = layers * 2 * hidden * w.prompt**2
    prefill = {
        "computation": w.prompts * (w.prompt * 2 * matrices + 2 * head + attention) / (c.tflops * 1e12 * w.ranks),
        "host to GPU": streamed / (links * GB),
        "GPU to host": w.prompts * w.prompt * kv_of_token * (1 - kv_on_gpu) / (links * GB)}
    on_cores = 0.0
    if w.attention == "split" and kv_host > 0:
        on_cores = min(1.0, max(0.0, (streamed + kv_host) * c.cores / (links + c.cores) / kv_host))
    step = {
        "host to GPU": (streamed + kv_host * (1 - on_cores)) / (links * GB),
        "cores": kv_host * on_cores / (c.cores * GB),
        "host memory": (streamed + kv_host) / (c.host * GB),
        "GPU memory": (w.ranks * (matrices * w.weight_bits / 8 + 2 * head) + kv - kv_host * on_cores)
        / (c.gpu * GB * w.ranks),
        "computation": w.prompts * 2 * (matrices + head) / (c.tflops * 1e12 * w.ranks)}
    total = max(prefill.values()) + (w.new - 1) * max(step.values())
    positions = w.prompts * (w.prompt + w.new - 1) * kv_of_token
    return Floor(prefill, step, total, w.prompts * w.new / total,
                 matrices * w.weight_bits / 8 * (1 - on_gpu) + positions * (1 - kv_on_gpu),
                 matrices * w.weight_bits / 8 * on_gpu + positions * kv_on_gpu + 4 * head)
