"""The fixtures of tests/data/golden: which OPT variant each holds and how its checkpoint is laid out."""

from dataclasses import dataclass, field

import torch
from transformers import OPTConfig

VOCABULARY = 80
LAYERS = 2
HIDDEN = 32
HEADS = 2
FFN = 64
# The longest prompt (40) plus 24 new tokens fill the positions exactly.
POSITIONS = 64


@dataclass(frozen=True)
class Spec:
    """One fixture: OPTConfig fields that differ from the defaults here, and how the weights are saved."""

    name: str
    seed: int  # the first one tried; make_golden.py goes on from it
    dtype: torch.dtype = torch.float16
    file_format: str = "safetensors"  # or "bin"
    shards: int = 1
    prefix: str = "model."  # in front of "decoder."; older checkpoints have none
    lm_head: bool = False  # save lm_head.weight even where it is tied
    fused_qkv_storage: bool = False  # .bin only: q, k and v are views into one storage
    branch_gain: float = 1.5  # of the weights that write to the residual stream
    config: dict = field(default_factory=dict)

    def opt_config(self) -> OPTConfig:
        values = dict(
            vocab_size=VOCABULARY,
            hidden_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            ffn_dim=FFN,
            max_position_embeddings=POSITIONS,
            dropout=0.0,
            attn_implementation="eager",
        )
        return OPTConfig(**(values | self.config))


SPECS = [
    Spec("pre-ln", 11, config=dict(num_hidden_layers=6)),
    Spec("head-dim-64", 12, config=dict(hidden_size=64, num_attention_heads=1)),
    Spec(
        "head-dim-80",
        13,
        config=dict(hidden_size=160, num_attention_heads=2, ffn_dim=32, vocab_size=64),
    ),
    Spec(
        "post-ln",
        14,
        branch_gain=0.7,
        config=dict(do_layer_norm_before=False, word_embed_proj_dim=24, num_hidden_layers=3),
    ),
    Spec(
        "gelu-nobias",
        15,
        config=dict(activation_function="gelu", enable_bias=False, vocab_size=131, num_hidden_layers=3),
    ),
    Spec("norm-plain", 16, config=dict(layer_norm_elementwise_affine=False)),
    Spec("no-final-norm", 17, config=dict(_remove_final_layer_norm=True)),
    Spec("untied", 18, lm_head=True, config=dict(tie_word_embeddings=False)),
    Spec("fp32", 19, dtype=torch.float32),
    Spec("bf16", 20, dtype=torch.bfloat16),
    Spec("sharded-safetensors", 21, shards=3),
    Spec("single-bin", 22, file_format="bin", lm_head=True, fused_qkv_storage=True),
    Spec("sharded-bin", 23, file_format="bin", shards=3, prefix=""),
]
