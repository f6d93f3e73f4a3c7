"""The ring: a slot is held exactly as long as something refers to its memory."""

from __future__ import annotations

import gc
import os
import pickle

import numpy as np
import pytest

from resslt import errors, welcome
from resslt.frames import Mapped
from resslt.ring import Ring

SIZE = 1 << 16
SLOTS = welcome.Ring(bytes=4 * SIZE, slots=4, slot_bytes=SIZE)


def ring() -> Ring:
    """A ring in a file of memory, as the server passes one; byte i of slot s is s."""
    fd = os.memfd_create("ring")
    os.write(fd, b"".join(bytes([s]) * SIZE for s in range(4)))
    made = Ring(fd, SLOTS)
    os.close(fd)
    return made


def test_slot_is_free_when_the_last_view_is_gone() -> None:
    r = ring()
    whole = r.take(Mapped(0, 2, 2 * SIZE, SIZE))
    part = whole[64:128].reshape(8, 8).T
    del whole
    gc.collect()
    assert r.freed() == []
    assert (part == 2).all()
    again = np.asarray(memoryview(part))[0]  # another library that took it by the buffer protocol
    del part
    gc.collect()
    assert r.freed() == []
    del again
    gc.collect()
    assert r.freed() == [2]


def test_crowded_when_the_caller_keeps_its_batches() -> None:
    r = ring()
    held = [r.take(Mapped(i, i, i * SIZE, 10)) for i in range(2)]
    assert not r.crowded
    held.append(r.take(Mapped(3, 3, 3 * SIZE, 10)))
    assert r.crowded
    del held[0]
    gc.collect()
    assert not r.crowded


def test_memory_outlives_the_ring() -> None:
    r = ring()
    kept = r.take(Mapped(0, 1, SIZE, SIZE))
    del r
    gc.collect()
    assert (kept == 1).all()


@pytest.mark.parametrize(
    "place",
    [
        Mapped(0, 4, 0, 10),  # no such slot
        Mapped(0, 0, 4 * SIZE, 1),  # behind the end
        Mapped(0, 0, 0, 4 * SIZE + 1),
        Mapped(0, 0, (1 << 64) - 64, 128),
        Mapped(0, 0, 8, 10),  # not aligned
        Mapped(0, 3, 3 * SIZE, 10),  # held
    ],
)
def test_place_that_cannot_be(place: Mapped) -> None:
    r = ring()
    held = r.take(Mapped(0, 3, 3 * SIZE, 10))
    with pytest.raises(errors.ProtocolError):
        r.take(place)
    del held


def test_file_that_is_too_short() -> None:
    fd = os.memfd_create("short")
    os.ftruncate(fd, SIZE)
    with pytest.raises(errors.ProtocolError, match="has 65536 bytes"):
        Ring(fd, SLOTS)
    os.close(fd)


@pytest.mark.parametrize("cls", [errors.Error, errors.UsageError, errors.ServerLost, errors.WaitError])
def test_errors_can_be_pickled(cls: type[errors.Error]) -> None:
    e = cls("no such\nrun", hint="name another", op="open", where="run r")
    copy = pickle.loads(pickle.dumps(e))
    assert type(copy) is cls
    assert str(copy) == str(e) == "open run r: no such run (hint: name another)"
    assert copy.hint == "name another"
