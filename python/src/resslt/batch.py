"""What a loader yields: one step of the run, as arrays of the library that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .decode import Raw
from .errors import UsageError
from .welcome import RunInfo


class Replaced(NamedTuple):
    """A row whose planned sample could not be made; it holds another, for a reason."""

    row: int
    planned: int
    sample: int
    reason: str


@dataclass(frozen=True)
class Batch:
    """One rank's rows of one step.

    Attributes:
        views: one array a view, n rows each. torch: (n,3,S,S) channels_last; numpy and JAX:
            (n,S,S,3). uint8, or normalised floats where the loader was asked for them.
        labels: (n,) int64 class indices, -1 where there is none; None where labels=False.
        samples: (n,) int64 numbers of the samples in the data set, in the host's memory.
        slots: (n,) int32 positions of the rows in the whole batch.
        step: of the run, from 0.
        epoch: of the run, from 0.
        names: of the views, as the policy names them.
        replaced: rows that hold another sample than planned, and why.
        plans: for each view, n encoded plans: all that was drawn for the view.
        digest: SHA-256 over step, samples, labels and pixels, where the loader has digests=True.
        seeds: the run's digest and the first row, of which resslt.mix derives its numbers.
    """

    views: list[Any]
    labels: Any
    samples: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int32]
    step: int
    epoch: int
    names: tuple[str, ...]
    replaced: tuple[Replaced, ...] = ()
    digest: str = ""
    seeds: tuple[str, int] = ("", 0)
    _plans: tuple[Any, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def plans(self) -> list[list[bytes]]:
        """The plans, views × rows. Empty lists where the server gives none."""
        return [p.to_pylist() for p in self._plans]

    def view(self, name: str) -> Any:
        """The view of a name: batch.view("strong")."""
        if name not in self.names:
            raise UsageError(f"the batch has no view {name!r}", hint="its views are " + ", ".join(self.names))
        return self.views[self.names.index(name)]

    def to(self, device: Any, *args: Any, **kwargs: Any) -> Batch:
        """The batch with views and labels moved as torch's Tensor.to does; Lightning calls it."""

        def move(x: Any) -> Any:
            return x.to(device, *args, **kwargs) if hasattr(x, "to") else x

        return replace(self, views=[move(v) for v in self.views], labels=move(self.labels))


class Backend(Protocol):
    """Makes a library's arrays of a batch's. One per connection."""

    #: whether there is work to overlap: a copy to a device that can run while the caller computes
    ahead: bool

    def views(self, pixels: tuple[npt.NDArray[np.uint8], ...]) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
        """The views, perhaps still on their way, and what makes them ready for the caller's stream."""

    def labels(self, labels: npt.NDArray[np.int64]) -> Any:
        """The labels as the library's array."""


def assemble(raw: Raw, run: RunInfo, backend: Backend, labels: bool, digest: bool) -> Callable[[], Batch]:
    """Starts to make the batch of raw; the function that it returns finishes it."""
    views, finish = backend.views(raw.pixels)
    made = Batch(
        views=views,
        labels=backend.labels(raw.labels.astype(np.int64)) if labels else None,
        samples=raw.samples,
        slots=raw.slots,
        step=raw.step,
        epoch=raw.epoch,
        names=tuple(v.name for v in run.views),
        replaced=tuple(Replaced(i, int(raw.planned[i]), int(raw.samples[i]), reason) for i, reason in enumerate(raw.reasons) if reason),
        digest=raw.digest() if digest else "",
        seeds=(run.digest, run.rows[0]),
        _plans=raw.plans,
    )
    return lambda: replace(made, views=finish(made.views))


class NumpyBackend:
    """(n,S,S,3) numpy arrays: the ring's own memory, or floats of their own."""

    ahead = False

    def __init__(self, run: RunInfo, normalize: bool, dtype: Any = None) -> None:
        self._scale, self._shift = scale_shift(run)
        self._dtype = np.dtype(dtype or np.float32) if normalize else np.dtype(dtype or np.uint8)
        self._normalize = normalize
        if not normalize and self._dtype != np.uint8:
            raise UsageError(f"dtype {self._dtype} without normalize=True", hint="uint8 is what there is; give normalize=True for floats")

    def views(self, pixels: tuple[npt.NDArray[np.uint8], ...]) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
        if not self._normalize:
            return list(pixels), _as_they_are
        return [(p.astype(np.float32) * self._scale + self._shift).astype(self._dtype, copy=False) for p in pixels], _as_they_are

    def labels(self, labels: npt.NDArray[np.int64]) -> Any:
        return labels


def scale_shift(run: RunInfo) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """1/(255·std) and -mean/std by channel: x·scale + shift normalises, as `resslt train` does."""
    mean, std = np.array(run.mean), np.array(run.std)
    if not (std > 0).all():
        raise UsageError(f"the run's std is {run.std}", hint="give three positive numbers")
    return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


def _as_they_are(views: list[Any]) -> list[Any]:
    return views
