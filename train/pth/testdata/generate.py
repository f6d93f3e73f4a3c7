"""generate.py DIR: the checkpoints that pth_test.go reads, saved by the PyTorch that runs this.

What each holds stands in DIR/expected.json: for every tensor its type, its sizes and the SHA-256
of its bytes in row-major order. Made with PyTorch 1.13 (testdata/torch1) and 2.15 (testdata/torch2).
"""

import argparse
import collections
import hashlib
import json
import os
import sys

import torch

out, expected = sys.argv[1], {}
os.makedirs(out, exist_ok=True)
KINDS = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def describe(t):
    t = t.detach().contiguous()
    raw = t.view(torch.int16) if t.dtype == torch.bfloat16 else t
    return [KINDS[t.dtype], list(t.shape), hashlib.sha256(raw.numpy().tobytes()).hexdigest()]


def save(name, value, tensors, **more):
    torch.save(value, os.path.join(out, name), **more)
    expected[name] = {k: describe(v) for k, v in tensors.items()}


def numbers(*shape, dtype=torch.float32):
    n = torch.Size(shape).numel()
    return ((torch.arange(n) * 37 % 101) - 50).to(dtype).reshape(shape)


types = collections.OrderedDict((str(d)[6:], numbers(2, 3, dtype=d) if d != torch.bool else numbers(2, 3) > 0) for d in KINDS)
save("types.pth", types, types)
save("types.legacy.pth", types, types, _use_new_zipfile_serialization=False)

whole = numbers(4, 5)
views = {
    "whole": whole,
    "rows": whole[1:3],
    "columns": whole[:, 1:4:2],
    "turned": whole.t(),
    "scalar": torch.tensor(7, dtype=torch.int64),
    "none": torch.zeros(0, 3),
    "channels_last": numbers(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "one": numbers(1, 5)[:, 2:],
}
save("views.pth", views, views)
save("views.legacy.pth", views, views, _use_new_zipfile_serialization=False)

net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2))
with torch.no_grad():
    for p in net.parameters():
        p.copy_(numbers(*p.shape))
state = net.state_dict()
save("module.pth", net, state)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
net(torch.ones(1, 3, 4, 4)).sum().backward()
optimizer.step()
state = {k: v.clone() for k, v in net.state_dict().items()}
momentum = {f"optimizer.state.{k}.momentum_buffer": v["momentum_buffer"] for k, v in optimizer.state_dict()["state"].items()}
training = {
    "epoch": 3,
    "state_dict": state,
    "args": argparse.Namespace(lr=0.1, arch="resnet18", big=1 << 70, small=-(1 << 40)),
    "optimizer": optimizer.state_dict(),
    "best": 71.5,
    "none": None,
    "set": {1, 2},
    "parameter": torch.nn.Parameter(numbers(3)),
    "default": collections.defaultdict(int, a=1),
    "size": torch.Size((1, 2)),
    "dtype": torch.float32,
    "device": torch.device("cpu"),
}
inside = {"state_dict." + k: v for k, v in state.items()} | momentum | {"parameter": training["parameter"]}
save("training.ckpt", training, inside)
save("protocol4.ckpt", training, inside, pickle_protocol=4)

with open(os.path.join(out, "expected.json"), "w") as f:
    json.dump(expected, f, indent=1, sort_keys=True)
