#!/usr/bin/env python3
"""Writes the small checkpoints of tests/data/checkpoint/ that the reader's tests open.

Needs Python 3.9 or later with torch, safetensors and numpy (any recent release, CPU only).

    python tools/make_checkpoint_fixtures.py            # writes tests/data/checkpoint/

Runs give the same bytes, but for torch-legacy and torchscript, into which torch writes what differs from run to run.

All values follow one formula, value_of(), which the tests repeat: what a reader returns is compared with the formula,
not with another reader.
"""

import json
import pathlib
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "checkpoint"
HIDDEN, FFN, VOCABULARY, POSITIONS = 8, 12, 11, 6


def value_of(name, index):
    """A multiple of 1/16 in [-8, 8): exact in fp32, fp16 and bf16."""
    return ((index * 7 + sum(name.encode())) % 256 - 128) / 16


def tensor(name, shape, dtype):
    count = int(np.prod(shape))
    return torch.tensor([value_of(name, i) for i in range(count)], dtype=torch.float32).reshape(shape).to(dtype)


def shapes():
    """Canonical names and shapes of a one-layer OPT."""
    h, f = HIDDEN, FFN
    layer = "decoder.layers.0."
    result = {"decoder.embed_tokens.weight": (VOCABULARY, h), "decoder.embed_positions.weight": (POSITIONS + 2, h)}
    for norm in ("self_attn_layer_norm", "final_layer_norm"):
        result[f"{layer}{norm}.weight"] = result[f"{layer}{norm}.bias"] = (h,)
    for product, (rows, columns) in {"self_attn.q_proj": (h, h), "self_attn.k_proj": (h, h), "self_attn.v_proj": (h, h),
                                     "self_attn.out_proj": (h, h), "fc1": (f, h), "fc2": (h, f)}.items():
        result[f"{layer}{product}.weight"] = (rows, columns)
        result[f"{layer}{product}.bias"] = (rows,)
    result["decoder.final_layer_norm.weight"] = result["decoder.final_layer_norm.bias"] = (h,)
    return result


def little_model(dtype, rename=lambda name: name):
    return OrderedDict((rename(name), tensor(name, shape, dtype)) for name, shape in shapes().items())


def folder(name):
    path = ROOT / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_index(path, shards):
    weight_map = {name: file for file, state in shards.items() for name in state}
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}, indent=1) + "\n")


def split(state, pattern, parts):
    """Every parts-th tensor goes to the same file, so that each file holds tensors of every group."""
    names = list(state)
    return {pattern.format(i + 1, parts): OrderedDict((n, state[n]) for n in names[i::parts]) for i in range(parts)}


def write_safetensors():
    save_file(little_model(torch.float16, "model.{}".format), folder("safetensors") / "model.safetensors",
              metadata={"format": "pt"})
    shards = split(little_model(torch.bfloat16), "model-{:05d}-of-{:05d}.safetensors", 3)
    target = folder("safetensors-sharded")
    for file, state in shards.items():
        save_file(state, target / file)
    write_index(target / "model.safetensors.index.json", shards)
    save_file({"a": tensor("a", (2, 3), torch.float16), "b": tensor("b", (2,), torch.bfloat16),
               "c": tensor("c", (3,), torch.float32), "d": torch.arange(2), "e": torch.zeros(0, 4)},
              folder("small-safetensors") / "model.safetensors")


def write_torch():
    torch.save(little_model(torch.float16), folder("torch") / "pytorch_model.bin")
    shards = split(little_model(torch.float32, "model.{}".format), "pytorch_model-{:05d}-of-{:05d}.bin", 2)
    target = folder("torch-sharded")
    for file, state in shards.items():
        torch.save(state, target / file)
    write_index(target / "pytorch_model.bin.index.json", shards)
    # A decoder saved alone, in the newer pickle protocols.
    for protocol in (4, 5):
        state = little_model(torch.bfloat16, lambda name: name.removeprefix("decoder."))
        torch.save(state, folder(f"torch-protocol-{protocol}") / "pytorch_model.bin", pickle_protocol=protocol)
    torch.save(little_model(torch.float16), folder("torch-legacy") / "pytorch_model.bin",
               _use_new_zipfile_serialization=False)
    torch.save(OrderedDict(a=tensor("a", (2, 3), torch.float16)), folder("small-torch") / "pytorch_model.bin")


def write_odd_torch():
    """Views and sharing: what the pickle says of storages, offsets and strides matters."""
    base = tensor("base", (4, 6), torch.float32)
    module = torch.nn.Linear(3, 2, bias=False)
    module.weight.data = tensor("parameter", (2, 3), torch.bfloat16)
    state = module.state_dict()  # an OrderedDict with attributes
    state = OrderedDict(state)
    state._metadata = OrderedDict(version=1)
    state.update(
        base=base, tied=base, transposed=base.t(), rows=base[1:3], column=base[:, 2], every_other=base[::2, 1::2],
        expanded=base[1:2, :3].expand(5, 3), parameter=torch.nn.Parameter(tensor("parameter", (2, 3), torch.float16)),
        cube=tensor("cube", (2, 3, 4), torch.float16).permute(2, 0, 1), scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3), counter=torch.arange(3), epoch=7, rate=0.5, note="text")
    torch.save(state, folder("torch-odd") / "pytorch_model.bin")


def rewrite_archive(source, target, change):
    """Copies an archive entry by entry; `change` maps (name, bytes) to (bytes, compression)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for item in old.infolist():
            data, compression = change(item.filename, old.read(item))
            new.writestr(zipfile.ZipInfo(item.filename), data, compression)


class Malicious:
    def __reduce__(self):
        import os
        return os.system, ("echo this must never run",)


def write_refused_torch():
    good = ROOT / "small-torch" / "pytorch_model.bin"
    plain = zipfile.ZIP_STORED

    def replace(entry, data):
        return lambda name, old: (data if name.endswith(entry) else old, plain)

    def target(name):
        return folder(name) / "pytorch_model.bin"

    rewrite_archive(good, target("torch-malicious"),
                    replace("/data.pkl", pickle.dumps({"a": Malicious()}, protocol=2)))
    # The tensor is [2, 3] with strides (3, 1) in a storage of 6.
    with zipfile.ZipFile(good) as archive:
        state = archive.read("pytorch_model/data.pkl")
    for name, old, new in (("torch-beyond-storage", b"K\x03K\x01\x86", b"K\x04K\x01\x86"),
                           ("torch-beyond-entry", b"K\x06t", b"K\x07t"),
                           ("torch-beyond-numbers", b"K\x03K\x01\x86", b"\x8a\x08" + 7 * b"\xff" + b"\x7fK\x01\x86")):
        assert state.count(old) == 1
        rewrite_archive(good, target(name), replace("/data.pkl", state.replace(old, new)))
    rewrite_archive(good, target("torch-big-endian"), replace("/byteorder", b"big"))
    rewrite_archive(good, target("torch-deflated"),
                    lambda name, old: (old, zipfile.ZIP_DEFLATED if "/data/" in name else plain))
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(target("torchscript")))


def write_npy():
    target = folder("npy") / "little-np"
    target.mkdir(exist_ok=True)
    for name, values in little_model(torch.float16).items():
        with open(target / name.replace("decoder.final_layer_norm", "decoder.layer_norm"), "wb") as file:
            np.save(file, values.numpy())
    (target / "lm_head.weight").write_bytes((target / "decoder.embed_tokens.weight").read_bytes())


def main():
    write_safetensors()
    write_torch()
    write_odd_torch()
    write_refused_torch()
    write_npy()


if __name__ == "__main__":
    main()
