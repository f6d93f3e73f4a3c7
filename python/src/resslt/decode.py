"""From Arrow's bytes to arrays: the columns of a batch as docs/wire.md has them.

The pixels stay where they are, in the ring or in the message; all other columns are small
and are copied, so that only pixels hold a slot of the ring.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .errors import ProtocolError
from .welcome import RunInfo

_COLUMNS = {
    "step": pa.int64(),
    "epoch": pa.int64(),
    "slot": pa.int32(),
    "sample": pa.int64(),
    "planned": pa.int64(),
    "label": pa.int32(),
    "reason": pa.string(),
}


@dataclass(frozen=True)
class Raw:
    """A batch as it came. n rows; pixels has one (n,S,S,3) uint8 a view, without a copy.

    plans has one Arrow binary array a view, or none where the server was started without.
    """

    step: int
    epoch: int
    slots: npt.NDArray[np.int32]
    samples: npt.NDArray[np.int64]
    planned: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]
    reasons: tuple[str, ...]  # "" where the row is the planned sample's; () where all are
    pixels: tuple[npt.NDArray[np.uint8], ...]
    plans: tuple[pa.BinaryArray, ...]

    def digest(self) -> str:
        """SHA-256 over step, samples, labels and pixels: equal digests are equal batches."""
        h = hashlib.sha256(self.step.to_bytes(8, "little"))
        for column in (self.slots, self.samples, self.labels, *self.pixels):
            h.update(np.ascontiguousarray(column).data)
        return h.hexdigest()


class Decoder:
    """Decodes the batches of one connection, whose schema and run it knows."""

    def __init__(self, message: Any, run: RunInfo) -> None:
        try:
            self._schema = pa.ipc.read_schema(pa.py_buffer(message))
        except (pa.ArrowException, OSError) as e:
            raise ProtocolError(f"the server's schema cannot be read: {e}") from None
        names = self._schema.names
        wanted = dict(_COLUMNS)
        for v in run.views:
            wanted[f"{v.name}.pixels"] = pa.binary(3 * v.size * v.size)
        for name, kind in wanted.items():
            if names.count(name) != 1:
                raise ProtocolError(f"the server's batches have {names.count(name)} columns {name}, not one")
            if self._schema.field(name).type != kind:
                raise ProtocolError(f"the server's column {name} is {self._schema.field(name).type}, not {kind}")
        self._run = run
        self._plans = [f"{v.name}.plan" for v in run.views if f"{v.name}.plan" in names]

    def decode(self, message: npt.NDArray[np.uint8]) -> Raw:
        """The batch in an encapsulated record-batch message, whose memory the pixels share."""
        try:
            record = pa.ipc.read_record_batch(pa.py_buffer(message), self._schema)
            record.validate()
        except (pa.ArrowException, OSError) as e:
            raise ProtocolError(f"a batch from the server cannot be read: {e}") from None
        low, high = self._run.rows
        if record.num_rows != high - low:
            raise ProtocolError(f"a batch has {record.num_rows} rows, not {high - low}")
        columns = {name: record.column(name) for name in record.schema.names}
        for name, column in columns.items():
            if column.null_count or column.offset:
                raise ProtocolError(f"column {name} of a batch has nulls or an offset")

        def ints(name: str) -> npt.NDArray[Any]:
            return np.array(columns[name])  # a copy

        step, epoch = ints("step"), ints("epoch")
        if (step != step[0]).any() or (epoch != epoch[0]).any():
            raise ProtocolError("the rows of a batch are of several steps")
        return Raw(
            step=int(step[0]),
            epoch=int(epoch[0]),
            slots=ints("slot"),
            samples=ints("sample"),
            planned=ints("planned"),
            labels=ints("label"),
            reasons=_reasons(columns["reason"]),
            pixels=tuple(_pixels(columns[f"{v.name}.pixels"], message, v.size) for v in self._run.views),
            plans=tuple(_copied(columns[name]) for name in self._plans),
        )


def _pixels(column: pa.FixedSizeBinaryArray, message: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """The column's bytes as (n,S,S,3), a view of message: Arrow's own buffer would be read-only."""
    n = len(column)
    count = n * size * size * 3
    buffer = column.buffers()[1]
    at = buffer.address - message.ctypes.data
    if buffer.size < count or not 0 <= at <= message.size - count:
        raise ProtocolError(f"a batch's pixels have {buffer.size} bytes, not {count}")
    return message[at : at + count].reshape(n, size, size, 3)


def _reasons(column: pa.StringArray) -> tuple[str, ...]:
    offsets = column.buffers()[1]
    ends = np.frombuffer(offsets, np.int32, len(column) + 1) if offsets is not None and offsets.size else np.zeros(1, np.int32)
    if ends[0] == ends[-1]:
        return ()
    try:
        return tuple(column.to_pylist())
    except UnicodeDecodeError:
        raise ProtocolError("a batch's reasons are not UTF-8") from None


def _copied(column: pa.BinaryArray) -> pa.BinaryArray:
    """column on memory of its own."""
    buffers: Sequence[pa.Buffer | None] = [None if b is None else pa.py_buffer(b.to_pybytes()) for b in column.buffers()]
    copy = pa.Array.from_buffers(column.type, len(column), list(buffers), null_count=0)
    copy.validate(full=True)
    return copy
