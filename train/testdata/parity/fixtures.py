"""What every fixture is made with: numbers that Go makes too, and safetensors files.

The Go side is train/nn/nntest.
"""

import hashlib
import json
import math
import os
import struct

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))


# ---- deterministic numbers, the same in Go (nn/nntest) -----------


def _mix(x):
    """SplitMix64's finaliser on a uint64 array."""
    x = x.copy()
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def raw(name, n):
    key = np.uint64(struct.unpack("<Q", hashlib.sha256(name.encode()).digest()[:8])[0])
    with np.errstate(over="ignore"):
        return _mix(key + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def formula(name, *shape, scale=1.0, shift=0.0):
    """Uniform in [shift-scale, shift+scale): the top 24 bits of the hash."""
    n = int(np.prod(shape))
    u = (raw(name, n) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0
    return torch.from_numpy((u * scale + shift).astype(np.float32).reshape(shape))


def pixels(name, n, size):
    """(n,size,size,3) images: a quarter noise, three quarters 4x4 blocks of colour. Of
    noise alone every image's features would be nearly one vector, and the heads'
    batch norm would then magnify rounding."""
    byte = lambda key, count: (raw(key, count) >> np.uint64(56)).astype(np.int64)
    noise = byte(name, n * size * size * 3).reshape(n, size, size, 3)
    blocks = byte(name + " blocks", n * (size // 4) ** 2 * 3).reshape(n, size // 4, size // 4, 3)
    blocks = blocks.repeat(4, axis=1).repeat(4, axis=2)
    return torch.from_numpy((noise // 4 + blocks * 3 // 4).astype(np.uint8))


def fill(module, prefix):
    """Every parameter and buffer by the formula, of a size that keeps activations sane."""
    for name, t in module.state_dict().items():
        key = prefix + name
        if name.endswith("num_batches_tracked"):
            continue
        with torch.no_grad():
            if t.dim() > 1:
                t.copy_(formula(key, *t.shape, scale=math.sqrt(6.0 / (t[0].numel()))))
            elif name.endswith("running_var") or (name.endswith("weight") and t.dim() == 1):
                t.copy_(formula(key, *t.shape, scale=0.25, shift=1.0))
            else:
                t.copy_(formula(key, *t.shape, scale=0.1))


MASK = (1 << 64) - 1


class Pcg:
    """Go's math/rand/v2 PCG (128-bit LCG, DXSM output), keyed as nn.Random."""

    def __init__(self, seed, name):
        key = hashlib.sha256(struct.pack("<Q", seed) + name.encode()).digest()
        self.state = int.from_bytes(key[:16], "big")
        self.spare = None

    def uint64(self):
        self.state = (self.state * 0x2360ED051FC65DA44385DF649FCCF645 + 0x5851F42D4C957F2D14057B7EF767814F) % (1 << 128)
        hi, lo = self.state >> 64, self.state & MASK
        hi ^= hi >> 32
        hi = hi * 0xDA942042E4DD58B5 & MASK
        hi ^= hi >> 48
        return hi * (lo | 1) & MASK

    def uniform(self):
        return (self.uint64() >> 11) * 2.0**-53

    def normal(self):
        if self.spare is not None:
            s, self.spare = self.spare, None
            return s
        while True:
            u, v = 2 * self.uniform() - 1, 2 * self.uniform() - 1
            s = u * u + v * v
            if 0 < s < 1:
                f = math.sqrt(-2 * math.log(s) / s)
                self.spare = v * f
                return u * f

    def permutation(self, n):
        p = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self.uint64() * (i + 1) >> 64
            p[i], p[j] = p[j], p[i]
        return p


# ---- files ------------------------------------------------------------------


def save(name, tensors, meta=None):
    """safetensors: u64 header length, JSON header, data."""
    header, blobs, at = {}, [], 0
    if meta:
        header["__metadata__"] = {"json": json.dumps(meta)}
    for key, t in tensors.items():
        a = t.detach().cpu().numpy() if isinstance(t, torch.Tensor) else np.asarray(t)
        if a.dtype == np.float64:
            a = a.astype(np.float32)
        kind = {"float32": "F32", "int64": "I64", "uint8": "U8"}[a.dtype.name]
        blob = a.tobytes()
        header[key] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    h = json.dumps(header).encode()
    h += b" " * (-len(h) % 8)
    with open(os.path.join(HERE, name + ".safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h + b"".join(blobs))


SAMPLES = 24


def digest(key, t):
    """What stands for a large tensor: its greatest magnitude, and SAMPLES elements at hashed places."""
    flat = t.detach().double().reshape(-1)
    idx = (raw("sample " + key, SAMPLES) % np.uint64(flat.numel())).astype(np.int64)
    return torch.cat([flat.abs().max().reshape(1), flat[torch.from_numpy(idx)]])
