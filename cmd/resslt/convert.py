"""convert.py CHECKPOINT ENCODER.safetensors [--trust] [--prefix P]

The encoder of a PyTorch checkpoint as safetensors under torchvision's keys. It needs PyTorch 1.13
or newer and nothing else. --trust lets the file run code of its own, as torch.load did before it
had weights_only. --prefix names the encoder where several fit.
"""

import argparse
import json
import os
import re
import struct
import sys

import torch

# Every encoder of its kind has these keys behind its prefix.
KINDS = (
    ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight"),  # ResNet
    ("features.0.0.weight", "features.0.1.weight"),  # EfficientNet, MobileNetV3
    ("0.weight", "1.weight", "4.0.conv1.weight", "7.0.conv1.weight"),  # the children of a ResNet, by number
)
PARTS = re.compile(r"(conv1|bn1|layer[1-4]|features)\.")
CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
SLOW = re.compile(r"momentum|teacher|target|ema\b|encoder_k|key|offline")  # networks that follow the student


def tensors(value):
    """All tensors of a checkpoint, under their keys with those of the dictionaries around them."""
    found = {}
    for key, v in value.items() if isinstance(value, dict) else ():
        if torch.is_tensor(v):
            found[str(key)] = v
        elif isinstance(v, torch.nn.Module):
            found.update({f"{key}.{k}": t for k, t in v.state_dict().items()})
        else:
            found.update({f"{key}.{k}": t for k, t in tensors(v).items()})
    return found


def encoders(state):
    """The prefixes of the encoders in a state dict, students alone where there are some."""
    all_of = {k[: -len(kind[0])] for kind in KINDS for k in state if k.endswith(kind[0])}
    fit = {p for p in all_of if any(all(p + key in state for key in kind) for kind in KINDS)}
    return sorted({p for p in fit if not SLOW.search(p)} or fit)


def encoder(state, prefix):
    """The encoder below a prefix, under torchvision's keys."""
    below = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    if "conv1.weight" not in below and "features.0.0.weight" not in below:
        below = {CHILDREN[k.split(".")[0]] + k[1:]: v for k, v in below.items() if k.split(".")[0] in CHILDREN}
    return {k: v for k, v in below.items() if PARTS.match(k)}


def load(path, trust):
    try:
        whole = torch.load(path, map_location="cpu", weights_only=not trust)
    except Exception as e:
        if trust:
            raise
        sys.exit(f"{path}: {str(e).splitlines()[0]} (if you trust the file: --trust, which lets it run its own code)")
    return whole.state_dict() if isinstance(whole, torch.nn.Module) else whole


def write(path, state):
    header, at, parts = {}, 0, []
    for k, v in state.items():
        v = (v.long() if k.endswith("num_batches_tracked") else v.float()).contiguous()
        raw = v.numpy().tobytes()
        kind = "I64" if v.dtype == torch.int64 else "F32"
        header[k] = {"dtype": kind, "shape": list(v.shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        parts.append(raw)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    part = f"{path}.{os.getpid()}.tmp"
    try:
        with open(part, "wb") as f:
            f.write(struct.pack("<Q", len(head)) + head)
            f.writelines(parts)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("checkpoint")
    a.add_argument("encoder")
    a.add_argument("--trust", action="store_true")
    a.add_argument("--prefix")
    o = a.parse_args()
    state = tensors(load(o.checkpoint, o.trust))
    fit = encoders(state)
    small = [k[: -len("2.0.conv1.weight")] for k in state if k.endswith("2.0.conv1.weight")]
    if o.prefix is None and not fit and any(p + "0.weight" in state for p in small):
        sys.exit("Lightly's own small ResNet has no ReLU after its stem: its features are not a ResNet's")
    if o.prefix is None and not fit:
        sys.exit(
            f"{o.checkpoint}: no ResNet, EfficientNet or MobileNetV3 with torchvision's keys"
            f" among its {len(state)} tensors: {', '.join(list(state)[:3])}, …"
        )
    if o.prefix is None and len(fit) > 1:
        # Copies are one encoder, such as a whole model and its state dict in one file.
        one = encoder(state, fit[0])
        same = [
            p for p in fit if encoder(state, p).keys() == one.keys() and all(torch.equal(v, one[k]) for k, v in encoder(state, p).items())
        ]
        if len(same) < len(fit):
            sys.exit(f"{o.checkpoint} has several encoders: give --prefix, one of {', '.join(map(repr, fit))}")
    found = encoder(state, fit[0] if o.prefix is None else o.prefix)
    if not found:
        sys.exit(f"{o.checkpoint}: no encoder below {o.prefix!r}; there are {', '.join(map(repr, fit)) or 'none'}")
    write(o.encoder, found)
    print(f"{o.encoder}: {len(found)} tensors below {(fit[0] if o.prefix is None else o.prefix)!r}")


main()
