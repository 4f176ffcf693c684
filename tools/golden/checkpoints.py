"""Draws the weights of a fixture and saves them as the Hub's checkpoints are laid out."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import OPTForCausalLM

from .specs import Spec

CONFIG_KEYS = (
    "_remove_final_layer_norm activation_function attention_dropout bos_token_id do_layer_norm_before "
    "dropout enable_bias eos_token_id ffn_dim hidden_size init_std layer_norm_elementwise_affine layerdrop "
    "max_position_embeddings model_type num_attention_heads num_hidden_layers pad_token_id "
    "tie_word_embeddings use_cache vocab_size word_embed_proj_dim"
).split()


def draw_model(spec: Spec, seed: int) -> OPTForCausalLM:
    """A model of random weights, rounded to the checkpoint's dtype and held in fp32.

    The usual init (std 0.02) gives flat logits that hide most faults. Here every branch is as large as the
    residual stream, biases are not zero and norm weights spread around 1, so that each tensor shows in the
    logits.
    """
    torch.manual_seed(seed)
    model = OPTForCausalLM(spec.opt_config()).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(draw(spec, name, parameter).to(spec.dtype).float())
    return model


def draw(spec: Spec, name: str, parameter: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(parameter.shape)
    if "layer_norm" in name:
        return (1.0 if name.endswith("weight") else 0.0) + 0.2 * noise
    if name.endswith("bias"):
        return 0.15 * noise
    if "embed_positions" in name:
        return 1.5 * noise  # strong, so that greedy decoding does not fall into a loop
    if "embed_tokens" in name or "lm_head" in name:
        return 0.5 * noise
    gain = {"q_proj": 1.3, "k_proj": 1.3, "project_in": 2.5}.get(name.split(".")[-2], spec.branch_gain)
    return gain * noise / parameter.shape[1] ** 0.5


def save_checkpoint(spec: Spec, model: OPTForCausalLM, folder: Path) -> None:
    """Writes config.json and the weights (with an index if there are several shards) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_config(spec, folder)
    shards = split(tensors_of(spec, model), spec.shards)
    stem, suffix = ("model", "safetensors") if spec.file_format == "safetensors" else ("pytorch_model", "bin")
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        part = f"-{number:05d}-of-{len(shards):05d}" if len(shards) > 1 else ""
        file = f"{stem}{part}.{suffix}"
        if spec.file_format == "safetensors":
            save_file(shard, folder / file, metadata={"format": "pt"})
            (folder / file).chmod(0o644)
        else:
            torch.save(shard, folder / file)
        weight_map |= dict.fromkeys(shard, file)
    if len(shards) > 1:
        size = sum(tensor.nbytes for shard in shards for tensor in shard.values())
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index, indent=2) + "\n")


def save_config(spec: Spec, folder: Path) -> None:
    kept = json.loads(spec.opt_config().to_json_string(use_diff=False))
    config = {"architectures": ["OPTForCausalLM"]} | {key: kept[key] for key in CONFIG_KEYS}
    # Checkpoints say "torch_dtype" up to transformers 4.55 and "dtype" since; both must be understood.
    key = "dtype" if spec.dtype is torch.bfloat16 else "torch_dtype"
    config[key] = str(spec.dtype).removeprefix("torch.")
    config = dict(sorted(config.items()))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def tensors_of(spec: Spec, model: OPTForCausalLM) -> dict[str, torch.Tensor]:
    tensors = {
        name.removeprefix("model."): parameter.detach().to(spec.dtype).contiguous()
        for name, parameter in model.named_parameters()
    }
    if spec.lm_head and "lm_head.weight" not in tensors:
        tensors["lm_head.weight"] = tensors["decoder.embed_tokens.weight"]
    if spec.fused_qkv_storage:
        fuse_qkv_storage(tensors)
    return {
        name if name.startswith("lm_head") else spec.prefix + name: tensor for name, tensor in tensors.items()
    }


def fuse_qkv_storage(tensors: dict[str, torch.Tensor]) -> None:
    """Moves a layer's q, k and v weights into one storage, as a fine-tune of a fused projection has them."""
    layers = sorted({name.split(".self_attn.")[0] for name in tensors if ".self_attn." in name})
    for layer in layers:
        names = [f"{layer}.self_attn.{part}_proj.weight" for part in "qkv"]
        fused = torch.cat([tensors[name] for name in names])
        tensors.update(zip(names, fused.chunk(3)))


def split(tensors: dict[str, torch.Tensor], shards: int) -> list[dict[str, torch.Tensor]]:
    """Consecutive tensors into `shards` parts of about the same bytes; a layer may lie across two of them."""
    total = sum(tensor.nbytes for tensor in tensors.values())
    parts = [{} for _ in range(shards)]
    done = 0
    for name, tensor in tensors.items():
        parts[min(done * shards // total, shards - 1)][name] = tensor
        done += tensor.nbytes
    return parts
