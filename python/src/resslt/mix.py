"""Mixup and CutMix of a batch, on its device, as a function of the run, the step and a seed.

The numbers come from a counter-based generator that is keyed by the run's digest, the seed and
the step: a resumed run mixes as the calm one does. λ and, for CutMix, the box are the same on
every rank; partners are drawn among the rank's own rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from .batch import Batch
from .errors import UsageError


@dataclass(frozen=True)
class Mixed:
    """A mixed batch: the loss is lam·loss(labels) + (1 - lam)·loss(partner_labels).

    Attributes:
        views: the mixed views; uint8 ones stay uint8, rounded to the nearest.
        labels, partner_labels: (n,) of each row and of the row that is mixed into it.
        lam: the share of the row itself; for CutMix that of its pixels.
        partners: (n,) the row that is mixed into each row.
    """

    views: list[Any]
    labels: Any
    partner_labels: Any
    lam: float
    partners: Any


def mixup(batch: Batch, alpha: float = 0.2, seed: int = 0) -> Mixed:
    """Each row blended with another: lam·x + (1 - lam)·x[partner], lam ~ Beta(alpha, alpha)."""
    rng, rows = _generators(batch, "mixup", alpha, seed)
    lam = float(rng.beta(alpha, alpha))
    partners = rows.permutation(len(batch))
    views = [_blend(v, _take(v, partners), lam) for v in batch.views]
    return Mixed(views, batch.labels, _take_labels(batch, partners), lam, partners)


def cutmix(batch: Batch, alpha: float = 1.0, seed: int = 0) -> Mixed:
    """Each row with a box of another pasted in, whose share of the area is 1 - lam, lam ~ Beta(alpha, alpha).

    A box that reaches over the edge is cut off there; lam is what remains of the row, of the
    first view (views of other sizes get the same box, scaled).
    """
    rng, rows = _generators(batch, "cutmix", alpha, seed)
    lam = float(rng.beta(alpha, alpha))
    centre = rng.random(2)
    partners = rows.permutation(len(batch))
    views: list[Any] = []
    share = 1.0
    for i, v in enumerate(batch.views):
        height, width = _size(v)
        (top, bottom), (left, right) = (_side(c, n, lam) for c, n in zip(centre, (height, width), strict=True))
        views.append(_paste(v, _take(v, partners), top, bottom, left, right))
        if i == 0:
            share = 1 - (bottom - top) * (right - left) / (height * width)
    return Mixed(views, batch.labels, _take_labels(batch, partners), share, partners)


def _generators(batch: Batch, what: str, alpha: float, seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """The generator that all ranks share, and the one of this rank's rows."""
    if not alpha > 0:
        raise UsageError(f"alpha {alpha}", hint="use a positive number; 1 is uniform")
    if batch.labels is None:
        raise UsageError(f"{what} of a batch without labels", hint="make the loader without labels=False")
    digest, first_row = batch.seeds

    def generator(*parts: object) -> np.random.Generator:
        key = hashlib.sha256("\0".join(map(str, (what, digest, seed, batch.step, *parts))).encode()).digest()
        return np.random.Generator(np.random.Philox(key=np.frombuffer(key[:16], "<u8")))

    return generator(), generator("rows", first_row)


def _side(centre: float, n: int, lam: float) -> tuple[int, int]:
    """A box's begin and end along an axis of n pixels."""
    half = n * float(np.sqrt(1 - lam)) / 2
    at = centre * n
    return max(0, round(at - half)), min(n, round(at + half))


def _channels_first(v: Any) -> bool:
    return type(v).__module__.partition(".")[0] == "torch"


def _size(v: Any) -> tuple[int, int]:
    """Height and width: torch has (n,3,S,S), numpy and JAX (n,S,S,3)."""
    return (v.shape[2], v.shape[3]) if _channels_first(v) else (v.shape[1], v.shape[2])


def _take(v: Any, partners: Any) -> Any:
    if _channels_first(v):
        import torch

        return v[torch.from_numpy(partners).to(v.device)]
    return v[partners]


def _take_labels(batch: Batch, partners: Any) -> Any:
    return _take(batch.labels, partners)


def _blend(x: Any, y: Any, lam: float) -> Any:
    if _channels_first(x):
        if x.is_floating_point():
            return x * lam + y * (1 - lam)
        return (x.float() * lam + y.float() * (1 - lam)).round_().to(x.dtype)
    if x.dtype.kind == "u":
        return (x.astype(np.float32) * lam + y.astype(np.float32) * (1 - lam)).round().astype(x.dtype)
    return (x * x.dtype.type(lam) + y * x.dtype.type(1 - lam)).astype(x.dtype)


def _paste(x: Any, y: Any, top: int, bottom: int, left: int, right: int) -> Any:
    """x with y's pixels in the box, in memory of its own."""
    rows, columns = slice(top, bottom), slice(left, right)
    if _channels_first(x):
        out = x.clone()
        out[:, :, rows, columns] = y[:, :, rows, columns]
        return out
    if isinstance(x, np.ndarray):
        out = x.copy()
        out[:, rows, columns] = y[:, rows, columns]
        return out
    return x.at[:, rows, columns].set(y[:, rows, columns])
