"""What references of objectives are computed from: sizes, a temperature, and embeddings by name."""

import torch.nn.functional as F

from fixtures import formula

B, D, K, TAU = 8, 16, 40, 0.2


def leaf(name):
    return formula(name, B, D).double().requires_grad_()


def unit(name, rows, columns=D):
    return F.normalize(formula(name, rows, columns).double())


def drawn(name, columns, below=0):
    """What the learner would draw: shares from 0 to below 1, or whole numbers."""
    share = formula("draw " + name, B, columns, scale=0.5, shift=0.5).double()
    return (share * below).long() if below else share
