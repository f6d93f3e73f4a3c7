#!/usr/bin/python3
"""Writes objectives.safetensors: each objective's loss and gradients, by PyTorch.

    /usr/bin/python3 objectives.py        # Debian's torch 1.13.1

Each is written from its paper's pseudo-code or its authors' code, in their form
and not in ours: cross-entropy over a row of logits with the positive among them.
"""

import torch
import torch.nn.functional as F

from fixtures import formula, save

B, D, K, TAU = 8, 16, 40, 0.2


def leaf(name):
    return formula(name, B, D).double().requires_grad_()


def unit(name, rows):
    return F.normalize(formula(name, rows, D).double())


def moco(out):
    """moco/builder.py: logits [q·k, q·Q], the positive in column 0."""
    q0, k, queue = leaf("query"), unit("key", B), unit("queue", K)
    q = F.normalize(q0)
    l_pos = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
    l_neg = torch.einsum("nc,ck->nk", [q, queue.t()])
    logits = torch.cat([l_pos, l_neg], dim=1)
    loss = F.cross_entropy(logits / TAU, torch.zeros(B, dtype=torch.long))
    out.update({"moco-v2.loss": loss, "moco-v2.agreement": (logits.argmax(1) == 0).double().mean()})
    (out["moco-v2.grad0"],) = torch.autograd.grad(loss, [q0])


def simclr(out):
    """simclr/objective.py, add_contrastive_loss: both orders, each view against the
    other's rows and its own without itself."""
    a0, b0 = leaf("view a"), leaf("view b")
    a, b = F.normalize(a0), F.normalize(b0)
    labels, masks = torch.arange(B), torch.eye(B).double() * 1e9
    aa, bb = a @ a.t() / TAU - masks, b @ b.t() / TAU - masks
    ab, ba = a @ b.t() / TAU, b @ a.t() / TAU
    loss_a = F.cross_entropy(torch.cat([ab, aa], 1), labels)
    loss_b = F.cross_entropy(torch.cat([ba, bb], 1), labels)
    loss = (loss_a + loss_b) / 2  # SimCLR's equation 1 is the mean over 2N
    out.update({"simclr.loss": loss, "simclr.agreement": (ab.argmax(1) == labels).double().mean()})
    out["simclr.grad0"], out["simclr.grad1"] = torch.autograd.grad(loss, [a0, b0])


def byol(out):
    """byol/utils: regression_loss = ‖p̂ − ẑ‖², both directions added."""
    p0, p1 = leaf("view a"), leaf("view b")
    za, zb = formula("target a", B, D).double(), formula("target b", B, D).double()

    def regression_loss(x, y):
        return ((F.normalize(x) - F.normalize(y)) ** 2).sum(-1)

    loss = (regression_loss(p0, zb) + regression_loss(p1, za)).mean()
    out["byol.loss"] = loss
    out["byol.agreement"] = ((F.normalize(p0) @ F.normalize(zb).t()).argmax(1) == torch.arange(B)).double().mean() / 2 + (
        (F.normalize(p1) @ F.normalize(za).t()).argmax(1) == torch.arange(B)
    ).double().mean() / 2
    out["byol.grad0"], out["byol.grad1"] = torch.autograd.grad(loss, [p0, p1])


def simsiam(out):
    """simsiam/main_simsiam.py: -(cos(p1, z2).mean() + cos(p2, z1).mean()) / 2."""
    p1, p2, z1, z2 = leaf("view a"), leaf("view b"), leaf("z a"), leaf("z b")
    criterion = torch.nn.CosineSimilarity(dim=1)
    loss = -(criterion(p1, z2.detach()).mean() + criterion(p2, z1.detach()).mean()) * 0.5
    out["simsiam.loss"] = loss
    out["simsiam.grad0"], out["simsiam.grad1"] = torch.autograd.grad(loss, [p1, p2])


def nnclr(out):
    """Algorithm 1 of the paper."""
    p1, p2, z1, z2 = leaf("view a"), leaf("view b"), leaf("z a"), leaf("z b")
    queue = unit("queue", K)

    def nn(z):
        return queue[(F.normalize(z) @ queue.t()).argmax(1)].detach()

    def L(n, p):
        return F.cross_entropy(n @ F.normalize(p).t() / TAU, torch.arange(B))

    loss = L(nn(z1), p2) / 2 + L(nn(z2), p1) / 2
    out["nnclr.loss"] = loss
    out["nnclr.grad0"], out["nnclr.grad1"] = torch.autograd.grad(loss, [p1, p2])


def mse(out):
    """Equation 2's two forms."""
    p, z = unit("view a", B), unit("target b", B)
    out["cosine"] = -F.cosine_similarity(p, z).mean()
    out["mse"] = F.mse_loss(p, z, reduction="sum") / B


if __name__ == "__main__":
    fixture = {}
    for objective in (moco, simclr, byol, simsiam, nnclr, mse):
        objective(fixture)
    save("objectives", fixture, dict(B=B, D=D, K=K, tau=TAU))
