#!/usr/bin/env python3
"""Compares objectives.py with lightly's and solo-learn's own implementations.

    make witness

The fixture's reference is written from papers and authors' code; these projects wrote
theirs without us. Loss and gradients must agree to 1e-5, relative to the largest element
of each: both sides are float64.
"""

import importlib.util
import os
import sys

import objectives as ours
import torch
import torch.nn.functional as F
from lightly import loss as lightly

from fixtures import formula

BOUND = 1e-5
D, K, TAU = ours.D, ours.K, ours.TAU
CROPS = ["view a", "view b", "local c", "local d"]


def solo(path, name):
    """A function of solo-learn's. Its files of losses stand alone; its package wants all of
    Lightning."""
    root = os.path.dirname(importlib.util.find_spec("solo").origin)
    spec = importlib.util.spec_from_file_location("solo_" + name, os.path.join(root, path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


barlow_loss_func = solo("losses/barlow.py", "barlow_loss_func")
byol_loss_func = solo("losses/byol.py", "byol_loss_func")
DINOLoss = solo("losses/dino.py", "DINOLoss")
moco_loss_func = solo("losses/moco.py", "moco_loss_func")
nnclr_loss_func = solo("losses/nnclr.py", "nnclr_loss_func")
simclr_loss_func = solo("losses/simclr.py", "simclr_loss_func")
simsiam_loss_func = solo("losses/simsiam.py", "simsiam_loss_func")
swav_loss_func = solo("losses/swav.py", "swav_loss_func")
vicreg_loss_func = solo("losses/vicreg.py", "vicreg_loss_func")
SinkhornKnopp = solo("utils/sinkhorn_knopp.py", "SinkhornKnopp")


def unit(x):
    return F.normalize(x, dim=-1)


def prototypes(name="prototypes"):
    return unit(formula(name, ours.PROTOTYPES, D).double())


def dino_logits(views):
    w = prototypes().requires_grad_()
    teacher = [t @ prototypes("prototypes_teacher").t() for t in targets()]
    return w, [unit(v) @ unit(w).t() for v in views], teacher


def targets():
    return [ours.unit("target a", ours.B), ours.unit("target b", ours.B)]


def dino_settings():
    temp = ours.TAU_T_START + ours.RAMP * (ours.TAU_T - ours.TAU_T_START)
    return temp, formula("centre", 1, ours.PROTOTYPES).double()


def dino_lightly(*views):
    w, student, teacher = dino_logits(views)
    temp, centre = dino_settings()
    loss = lightly.DINOLoss(ours.PROTOTYPES, student_temp=ours.TAU_S, center_momentum=ours.CENTRE_MOMENTUM)
    loss.center = centre.unsqueeze(0)
    return loss(teacher, student, teacher_temp=temp), {"prototypes.grad": w}


def dino_solo(*views):
    w, student, teacher = dino_logits(views)
    temp, centre = dino_settings()
    loss = DINOLoss(ours.PROTOTYPES, temp, temp, 0, 1, student_temp=ours.TAU_S, center_momentum=ours.CENTRE_MOMENTUM)
    loss.center = centre
    return loss(torch.cat(student), torch.cat(teacher)), {"prototypes.grad": w}


def swav_lightly(use_queue):
    def loss(*views):
        w = prototypes().requires_grad_()
        scores = [unit(v) @ w.t() for v in views]
        queue = None
        if use_queue:
            queue = [unit(formula(f"queue{i}", K, D).double()) @ w.detach().t() for i in range(2)]
        return lightly.SwaVLoss(TAU, ours.ITERATIONS, ours.EPSILON)(scores[:2], scores[2:], queue), {"prototypes.grad": w}

    return loss


def swav_solo(a, b):
    w = prototypes().requires_grad_()
    scores = [unit(v) @ w.t() for v in (a, b)]
    assign = [SinkhornKnopp(ours.ITERATIONS, ours.EPSILON)(s.detach()) for s in scores]
    return swav_loss_func(scores, assign, TAU), {"prototypes.grad": w}


def moco_solo(a, b):
    (ka, kb), queue = targets(), ours.unit("queue", K).t()
    return moco_loss_func(unit(a), kb, queue, TAU) + moco_loss_func(unit(b), ka, queue, TAU), {}


def nnclr_solo(a, b):
    queue = ours.unit("queue", K)
    za, zb = ours.unit("z a", ours.B), ours.unit("z b", ours.B)
    near = [queue[(z @ queue.t()).argmax(1)] for z in (za, zb)]
    return nnclr_loss_func(near[0], b, TAU) / 2 + nnclr_loss_func(near[1], a, TAU) / 2, {}


def byol_solo(a, b):
    ta, tb = formula("target a", ours.B, D).double(), formula("target b", ours.B, D).double()
    return byol_loss_func(a, tb) + byol_loss_func(b, ta), {}


def simsiam_solo(a, b):
    za, zb = formula("z a", ours.B, D).double(), formula("z b", ours.B, D).double()
    return simsiam_loss_func(a, zb) / 2 + simsiam_loss_func(b, za) / 2, {}


def vicreg_solo(a, b):
    # Its variance term is the two views' sum, the authors' their mean.
    return vicreg_loss_func(a, b, ours.VICREG[0], ours.VICREG[1] / 2, ours.VICREG[2]), {}


def unigrad_lightly(*views):
    """TiCo is UniGrad with a correlation of the student's own: with beta 1 it takes the one given,
    of each direction half."""
    tico = lightly.TiCoLoss(beta=1.0, rho=ours.UNIGRAD_LAMBDA / 2)
    (z1m, z2m), past = targets(), ours.unit("correlation", K)
    batch = (z1m.t() @ z1m + z2m.t() @ z2m) / (2 * ours.B)
    tico.C = ours.UNIGRAD_RHO * past.t() @ past / K + (1 - ours.UNIGRAD_RHO) * batch
    return (tico(views[0], z2m) + tico(views[1], z1m)) / 2 - 1, {}


def adco_solo(query):
    """The adversaries' gradient is autograd's, their authors' a formula."""
    k, w = ours.unit("key", ours.B), formula("adversaries", K, D).double().requires_grad_()
    q = unit(query)
    loss = moco_loss_func(q, k, unit(w.detach()).t(), TAU)
    theirs = moco_loss_func(q.detach(), k, unit(w).t(), ours.ADCO_TAU)
    return loss + theirs - theirs.detach(), {"adversaries.grad": w}


def fnc_solo(a, b):
    """solo-learn takes further positives; which they are is found here pair by pair."""
    z = torch.cat([unit(a), unit(b)]).detach()
    score = [[max(z[i] @ z[j], z[i + ours.B] @ z[j]).item() for j in range(2 * ours.B)] for i in range(ours.B)]
    extra = torch.zeros(2 * ours.B, 2 * ours.B, dtype=torch.bool)
    for i, row in enumerate(score):
        others = sorted((j for j in range(2 * ours.B) if j % ours.B != i), key=lambda j: -row[j])
        for j in others[: ours.FNC_TOP]:
            extra[i, j] = extra[i + ours.B, j] = row[j] > ours.FNC_THRESHOLD
    return simclr_loss_func(a, b, TAU, extra), {}


# Project, case of the fixture, its views or how many of CROPS, the loss with its further leaves.
witnesses = [
    ("lightly", "simclr", 2, lambda a, b: (lightly.NTXentLoss(TAU)(a, b), {})),
    ("lightly", "barlow-twins", 2, lambda a, b: (lightly.BarlowTwinsLoss(ours.LAMBDA)(a, b), {})),
    ("lightly", "vicreg", 2, lambda a, b: (lightly.VICRegLoss(*ours.VICREG)(a, b), {})),
    ("lightly", "dino", 2, dino_lightly),
    ("lightly", "dino multi-crop", 4, dino_lightly),
    ("lightly", "swav", 2, swav_lightly(False)),
    ("lightly", "swav multi-crop", 4, swav_lightly(False)),
    ("lightly", "swav queue", 4, swav_lightly(True)),
    ("solo-learn", "byol", 2, byol_solo),
    ("solo-learn", "simsiam", 2, simsiam_solo),
    ("solo-learn", "nnclr", 2, nnclr_solo),
    ("solo-learn", "moco-v2-symmetric", 2, moco_solo),
    ("solo-learn", "barlow-twins", 2, lambda a, b: (barlow_loss_func(a, b, ours.LAMBDA, 1.0), {})),
    ("solo-learn", "vicreg", 2, vicreg_solo),
    ("solo-learn", "dino", 2, dino_solo),
    ("solo-learn", "swav", 2, swav_solo),
    ("lightly", "unigrad", 2, unigrad_lightly),
    ("solo-learn", "adco", ["query"], adco_solo),
    ("solo-learn", "fnc", 2, fnc_solo),
]


def off(got, want):
    return ((got - want).abs().max() / want.abs().max()).item()


def main():
    torch.set_default_dtype(torch.float64)  # for what they make themselves
    fixture = {}
    for objective in ours.OBJECTIVES:
        objective(fixture)
    failed = 0
    for project, case, n, loss_of in witnesses:
        views = [ours.leaf(name) for name in (CROPS[:n] if isinstance(n, int) else n)]
        loss, leaves = loss_of(*views)
        names = [f"grad{i}" for i in range(len(views))] + list(leaves)
        gradients = torch.autograd.grad(loss, views + list(leaves.values()))
        worst = off(loss.detach(), fixture[case + ".loss"].detach())
        for name, g in zip(names, gradients):
            worst = max(worst, off(g, fixture[f"{case}.{name}"]))
        failed += not worst <= BOUND
        print(f"{'ok  ' if worst <= BOUND else 'FAIL'} {case:22} {project:11} {worst:.1e}")
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
