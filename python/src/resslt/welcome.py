"""What a server says of its run when a client comes: the welcome, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .errors import ProtocolError
from .frames import PROTOCOL

T = TypeVar("T")

_MAX_BATCH_BYTES = 64 << 30  # of one batch, and of a ring: more is a broken number


@dataclass(frozen=True)
class View:
    """One of the pictures that are drawn of a sample: size×size pixels, RGB."""

    name: str
    role: str  # "student" or "teacher"
    size: int


@dataclass(frozen=True)
class Ring:
    """The shared memory that batches stand in: slots of slot_bytes each, bytes in all."""

    bytes: int
    slots: int
    slot_bytes: int


@dataclass(frozen=True)
class RunInfo:
    """A run as its server states it.

    Attributes:
        run: its name in the broker.
        digest: hex digest of its spec; equal digests are equal batches.
        spec: the spec itself, as JSON has it.
        steps: of the whole run; steps_per_epoch and epochs likewise (epochs 0: without end).
        rows: the half-open range of a batch's rows that this rank gets.
        start: the first step that this connection gets.
        mean, std: of the pixels in 0–1, by channel.
        classes: names of the labels, in their order; empty where the data has none.
        samples: pictures in the data set.
    """

    version: str
    run: str
    digest: str
    spec: Mapping[str, Any]
    policy: str
    steps: int
    steps_per_epoch: int
    epochs: int
    batch_size: int
    rows: tuple[int, int]
    start: int
    views: tuple[View, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, ...]
    num_classes: int
    samples: int
    engine: str
    max_frame: int
    ring: Ring | None


def parse(message: Mapping[str, Any]) -> RunInfo:
    """The welcome's JSON as RunInfo; a ProtocolError names the field that cannot be."""

    def number(name: str, low: int = 0, high: int = 2**63) -> int:
        return _number(message, name, low, high)

    protocol = _field(message, "protocol", int)
    if protocol != PROTOCOL:
        raise ProtocolError(
            f"the server speaks protocol {protocol}, this package {PROTOCOL}",
            hint="install the resslt package of the server's version, " + str(message.get("version", "")),
        )
    batch = number("batch_size", 1, 1 << 31)
    rows = _list(message, "rows", lambda v: isinstance(v, int) and 0 <= v <= batch)
    if len(rows) != 2 or rows[0] >= rows[1]:
        raise ProtocolError(f"the server's welcome has rows {rows!r} of a batch of {batch}")
    views = tuple(_view(v) for v in _list(message, "views", lambda v: isinstance(v, dict)))
    return RunInfo(
        version=_field(message, "version", str),
        run=_field(message, "run", str),
        digest=_field(message, "digest", str),
        spec=_field(message, "spec", dict),
        policy=str(message.get("policy_name", "")),
        steps=number("steps"),
        steps_per_epoch=number("steps_per_epoch", 1),
        epochs=number("epochs"),
        batch_size=batch,
        rows=(rows[0], rows[1]),
        start=number("from"),
        views=views,
        mean=_three(message, "mean"),
        std=_three(message, "std"),
        classes=tuple(_list(message, "classes", lambda v: isinstance(v, str))),
        num_classes=number("num_classes"),
        samples=number("samples"),
        engine=str(message.get("engine", "")),
        max_frame=number("max_frame", 1, _MAX_BATCH_BYTES),
        ring=_ring(message.get("shm")),
    )


def _field(message: Mapping[str, Any], name: str, kind: type[T]) -> T:
    value = message.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ProtocolError(f"the server's welcome has {name} {value!r}, which is no {kind.__name__}")
    return value


def _number(message: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = _field(message, name, int)
    if not low <= value <= high:
        raise ProtocolError(f"the server's welcome has {name} {value}, which is not in {low}..{high}")
    return value


def _list(message: Mapping[str, Any], name: str, good: Callable[[Any], bool]) -> list[Any]:
    value = message.get(name)
    value = [] if value is None else value
    if not isinstance(value, list) or not all(good(v) for v in value):
        raise ProtocolError(f"the server's welcome has {name} {value!r}")
    return value


def _three(message: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    v = _list(message, name, lambda v: isinstance(v, (int, float)) and not isinstance(v, bool))
    if len(v) != 3:
        raise ProtocolError(f"the server's welcome has {name} {v!r}, which are not three numbers")
    return (float(v[0]), float(v[1]), float(v[2]))


def _view(v: Mapping[str, Any]) -> View:
    return View(_field(v, "name", str), _field(v, "role", str), _number(v, "size", 1, 1 << 15))


def _ring(message: Any) -> Ring | None:
    if message is None:
        return None
    if not isinstance(message, dict):
        raise ProtocolError(f"the server's welcome has shm {message!r}")
    ring = Ring(
        _number(message, "bytes", 1, _MAX_BATCH_BYTES),
        _number(message, "slots", 1, 1 << 16),
        _number(message, "slot_bytes", 1, _MAX_BATCH_BYTES),
    )
    if ring.slots * ring.slot_bytes > ring.bytes:
        raise ProtocolError(f"the server's ring of {ring.bytes} bytes does not hold {ring.slots} slots of {ring.slot_bytes}")
    return ring
