#!/usr/bin/python3
"""Writes ops.json: inputs, and what PyTorch makes of them, for ops_test.go.

Run with the PyTorch to compare against (Debian: /usr/bin/python3 with
python3-torch 1.13.1): /usr/bin/python3 ops.py > ops.json
"""

import json
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(7)
torch.set_num_threads(1)


def flat(t):
    values = t.detach().double().reshape(-1).tolist()
    return {"dtype": str(t.dtype)[6:], "shape": list(t.shape), "values": values}


def rand(*shape):
    return torch.round(torch.randn(*shape) * 1000) / 1000


inputs = {
    "x": rand(2, 3, 5, 5),
    "w": rand(4, 3, 3, 3),
    "dw": rand(3, 1, 3, 3),
    "b4": rand(4),
    "g3": rand(3),
    "b3": rand(3),
    "rm": rand(3),
    "rv": rand(3).abs() + 0.5,
    "a": rand(3, 4),
    "c": rand(3, 4),
    "p": rand(3, 4).abs() + 0.1,
    "m": rand(4, 5),
    "v": rand(4),
    "b5": rand(5),
    "bm1": rand(2, 3, 4),
    "bm2": rand(2, 4, 2),
    "target": torch.tensor([1, 3, 0]),
    "ints": torch.tensor([5, 3, 8, 1]),
    "rows": torch.tensor([2, 0]),
    "cols": torch.tensor([[0, 1, 3, 2], [1, 1, 0, 3], [3, 2, 1, 0]]),
    "mask": torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [1, 1, 0, 0]]).bool(),
    "two": rand(2, 4),
}
x, w, dw, b4, g3, b3, rm, rv, a, c, p, m, v, b5, bm1, bm2, target, ints, rows, cols, mask, two = inputs.values()

cases = {
    "Conv2d": F.conv2d(x, w, b4, 2, 1),
    "Conv2d depthwise": F.conv2d(x, dw, None, 1, 1, 1, 3),
    "MaxPool2d": F.max_pool2d(x, 3, 2, 1),
    "AdaptiveAvgPool2d": F.adaptive_avg_pool2d(x, 1),
    "BatchNorm train": F.batch_norm(x, rm.clone(), rv.clone(), g3, b3, True, 0.1, 1e-5),
    "BatchNorm eval": F.batch_norm(x, rm, rv, g3, b3, False, 0.1, 1e-5),
    "LayerNorm": F.layer_norm(bm1, (4,), b4, v, 1e-6),
    "Relu": F.relu(a),
    "Gelu": F.gelu(a),
    "Silu": F.silu(a),
    "Hardswish": F.hardswish(a),
    "Hardsigmoid": F.hardsigmoid(a),
    "Sigmoid": torch.sigmoid(a),
    "Linear": F.linear(a, two, rand(2) * 0 + 0.25),
    "Mm": a.mm(m),
    "Matmul": bm1 @ bm2,
    "Matmul broadcast": bm1 @ m,
    "Addmm": torch.addmm(b5, a, m, beta=0.5, alpha=2),
    "T": a.t(),
    "Add": torch.add(a, c, alpha=-0.5),
    "AddScalar": a + 1.5,
    "Sub": a - c,
    "Mul": a * c,
    "Div": a / p,
    "DivScalar": a / 3,
    "Sqrt": p.sqrt(),
    "Rsqrt": p.rsqrt(),
    "LinalgCholesky": torch.linalg.cholesky(m.t() @ m + torch.eye(5)),
    "Inverse": torch.inverse(m.t() @ m + torch.eye(5)),
    "Exp": a.exp(),
    "Log": p.log(),
    "Log1p": p.log1p(),
    "Sum": a.sum(),
    "Sum of ints": ints.sum(),
    "SumDim": a.sum((0,), keepdim=True),
    "MeanDim": x.mean((0, 2, 3)),
    "Mean of ints": ints.mean(dtype=torch.float32),
    "Amax": a.amax((0,)),
    "Argmax": a.argmax(1),
    "LinalgVectorNorm": torch.linalg.vector_norm(a, 2, (1,), True),
    "Logsumexp": a.logsumexp((1,)),
    "Softmax": a.softmax(1),
    "LogSoftmax": a.log_softmax(1),
    "CrossEntropyLoss": F.cross_entropy(a, target),
    "CrossEntropyLoss soft": F.cross_entropy(a, c.softmax(1)),
    "CrossEntropyLoss smooth": F.cross_entropy(a, target, reduction="none", label_smoothing=0.1),
    "Cat": torch.cat([a, two], 0),
    "Stack": torch.stack([a, c], 1),
    "Chunk last": a.chunk(2, 1)[-1],
    "Narrow": a.narrow(1, 1, 2),
    "Select": a.select(0, 1),
    "Slice": a[:, 1::2],
    "IndexSelect": a.index_select(0, rows),
    "ScatterAdd_": a.clone().scatter_add_(1, cols, c),
    "MaskedFillScalar": a.masked_fill(mask, float("-1e9")),
    "Where": torch.where(mask, a, c),
    "Permute": x.permute(0, 2, 3, 1),
    "Repeat": v.repeat(2, 2),
    "Expand": v.expand(3, 4),
    "ForeachAddcmulScalar_": a + 0.5 * a * c,
    "ForeachAddcdivScalar_": a - 0.5 * c / p,
    "ForeachAddScalar_": a + 0.5,
    "ForeachDivScalar_": a / 0.75,
    "ForeachSqrt": p.sqrt(),
    "Flip": a.flip([1]),
    "Roll": a.roll([1], [0]),
    "Gt": a > c,
    "Topk values": a.topk(2, 1)[0],
    "Topk indices": a.topk(2, 1)[1],
    "Arange": torch.arange(1, 2, 0.25),
    "Eye": torch.eye(3),
    "int times int": ints * 3,
    "int plus half": ints + 0.5,
}

# A small net and its gradients.
net = {n: inputs[n].clone().requires_grad_() for n in ("x", "w", "b4", "m")}
h = F.conv2d(net["x"], net["w"], net["b4"], 1, 1)
h = F.relu(F.batch_norm(h, None, None, None, None, True, 0.1, 1e-5))
h = F.adaptive_avg_pool2d(h, 1).flatten(1)
h = F.normalize(h @ net["m"], dim=1)
loss = -(h.softmax(1).detach() * (h / 0.1).log_softmax(1)).sum(1).mean()
loss.backward()
grads = {n: t.grad for n, t in net.items()}

json.dump(
    {
        "torch": torch.__version__,
        "inputs": {k: flat(t) for k, t in inputs.items()},
        "cases": {k: flat(t) for k, t in cases.items()},
        "loss": loss.item(),
        "grads": {k: flat(t) for k, t in grads.items()},
    },
    sys.stdout,
)
