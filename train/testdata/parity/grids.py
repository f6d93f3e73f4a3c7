"""The reference of CPC v2 for objectives.py: loss and gradients by PyTorch, in the form of its paper's
pseudo-code (appendix of arXiv 1905.09272), which has one direction."""

import torch
import torch.nn.functional as F

from fixtures import formula
from inputs import B, D, unit

SIDE, EMB_SCALE = 6, 0.1
CONTEXT_HIDDEN, CONTEXT_BLOCKS = 6, 2
STEP_FROM, STEP_TO = 2, 3  # rows ahead; steps_to_ignore and steps_to_predict count from one less

# Which patch (row, column) lies at (i, j) where a direction of prediction goes down.
LAID = {
    "down": lambda i, j: (i, j),
    "up": lambda i, j: (SIDE - 1 - i, j),
    "right": lambda i, j: (j, i),
    "left": lambda i, j: (j, SIDE - 1 - i),
}


def laid(latents, direction):
    """latents (B,SIDE,SIDE,D), so that the direction goes down."""
    rows = []
    for i in range(SIDE):
        at = [LAID[direction](i, j) for j in range(SIDE)]
        rows.append(torch.stack([latents[:, y, x] for y, x in at], 1))
    return torch.stack(rows, 1)


class Layers:
    """A direction's convolutions by name, made when they are first used."""

    def __init__(self, direction):
        self.direction, self.parameters = direction, {}

    def conv(self, name, x, out, kernel=(1, 1)):
        """A convolution with zeros to the left and right: SAME of the pseudo-code's (1, 3) kernel."""
        inside = x.shape[1] * kernel[0] * kernel[1]
        key = f"{self.direction}.{name}"
        w = unit(key, out, inside).requires_grad_()
        self.parameters[key] = w
        bias = None
        if name != "target":  # the pseudo-code's has no gradient: it adds the same to a row of logits
            bias = self.parameters[key + "_bias"] = formula(key + "_bias", out).double().requires_grad_()
        return F.conv2d(x, w.view(out, x.shape[1], *kernel), bias, padding=(0, kernel[1] // 2))


def pixel_cnn(latents, net):
    cres = latents
    for i in range(CONTEXT_BLOCKS):
        c = F.relu(net.conv(f"block{i}.reduce", cres, CONTEXT_HIDDEN))
        c = net.conv(f"block{i}.across", c, CONTEXT_HIDDEN, (1, 3))
        c = F.pad(c, (0, 0, 1, 0))
        c = F.relu(net.conv(f"block{i}.above", c, CONTEXT_HIDDEN, (2, 1)))
        cres = cres + net.conv(f"block{i}.expand", c, D)
    return F.relu(cres)


def task(latents, net):
    """CPC of the pseudo-code; latents (B,SIDE,SIDE,D)."""
    latents = latents.permute(0, 3, 1, 2)
    context = pixel_cnn(latents, net)
    targets = net.conv("target", latents, D).permute(0, 2, 3, 1).reshape(-1, D)
    loss = 0
    for i in range(STEP_FROM - 1, STEP_TO):
        col_dim = SIDE - i - 1
        total_elements = B * col_dim * SIDE
        preds_i = net.conv(f"step{i + 1}", context, D)[:, :, : -(i + 1)] * EMB_SCALE
        logits = preds_i.permute(0, 2, 3, 1).reshape(-1, D) @ targets.t()
        b = torch.arange(total_elements) // (col_dim * SIDE)
        col = torch.arange(total_elements) % (col_dim * SIDE)
        labels = b * SIDE * SIDE + (i + 1) * SIDE + col
        loss = loss + F.cross_entropy(logits, labels)
    return loss


def patches():
    return formula("patches", B * SIDE * SIDE, D).double().requires_grad_()


def cpc(out):
    """The four directions' mean."""
    z = patches()
    leaves = {"grad0": z}
    loss = 0
    for direction in LAID:
        net = Layers(direction)
        loss = loss + task(laid(z.view(B, SIDE, SIDE, D), direction), net) / len(LAID)
        leaves.update({name + ".grad": p for name, p in net.parameters.items()})
    out["cpc-v2.loss"] = loss
    for name, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values()))):
        out["cpc-v2." + name] = g
