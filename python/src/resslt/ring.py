"""The shared memory in which a local server lays batches, and who holds which slot of it.

A batch's arrays are views of the ring's memory: nothing is copied. Each slot that is handed
out has a Lease; numpy, torch and JAX keep the Lease alive for as long as any array refers to
its memory. When the last one is gone, the slot is put down as free, and the connection tells
the server at its next call. (A finalizer may run in any thread and in the midst of a call, so
that it must not write to the socket itself.)
"""

from __future__ import annotations

import contextlib
import mmap
import os
import weakref
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from . import welcome
from .errors import ProtocolError
from .frames import Mapped

_ALIGN = 64  # bytes, of a message in the ring
_KEPT = 2  # slots of the caller; with more the server would run out of slots to work ahead in


class Lease:
    """Memory of one slot. numpy makes an array of it, which keeps it alive."""

    __slots__ = ("__array_interface__", "__weakref__", "_memory")

    def __init__(self, memory: Any, address: int, length: int, readonly: bool) -> None:
        self._memory = memory
        self.__array_interface__ = {"version": 3, "shape": (length,), "typestr": "|u1", "data": (address, readonly)}


class Ring:
    """The mapping of a server's ring. It owns the file descriptor only while it is made."""

    def __init__(self, fd: int, info: welcome.Ring) -> None:
        self._info = info
        if os.fstat(fd).st_size < info.bytes:  # touching what is not there would kill the process
            raise ProtocolError(f"the server's ring has {os.fstat(fd).st_size} bytes, not {info.bytes}")
        self._readonly = False
        try:
            self._map = mmap.mmap(fd, info.bytes)
        except PermissionError:  # sealed against writing
            self._map = mmap.mmap(fd, info.bytes, prot=mmap.PROT_READ)
            self._readonly = True
        self._address = int(np.frombuffer(self._map, np.uint8).ctypes.data)
        self._held: set[int] = set()
        self._freed: deque[int] = deque()

    @property
    def memory(self) -> npt.NDArray[np.uint8]:
        """All of the ring, for those who pin it."""
        return np.frombuffer(self._map, np.uint8)

    def take(self, place: Mapped) -> npt.NDArray[np.uint8]:
        """The bytes at place. Their slot is free again when no array refers to them any more."""
        if place.slot >= self._info.slots or place.slot in self._held:
            raise ProtocolError(f"the server gave slot {place.slot} of {self._info.slots}, which it cannot have")
        # Each bound by itself: offset + length of a broken server may pass what a sum can hold elsewhere.
        if place.length > self._info.bytes or place.offset > self._info.bytes - place.length or place.offset % _ALIGN:
            raise ProtocolError(f"the server gave {place.length} bytes at {place.offset} of a ring of {self._info.bytes}")
        lease = Lease(self._map, self._address + place.offset, place.length, self._readonly)
        self._held.add(place.slot)
        weakref.finalize(lease, self._free, place.slot).atexit = False
        return np.asarray(lease)

    @property
    def crowded(self) -> bool:
        """True where the caller keeps more than a loop needs: the batch before, and the one that is made ready."""
        return len(self._held) > _KEPT

    def freed(self) -> list[int]:
        """The slots that became free since the last call; the caller tells the server."""
        slots = []
        with contextlib.suppress(IndexError):
            while True:
                slots.append(self._freed.popleft())
        return slots

    def _free(self, slot: int) -> None:
        self._held.discard(slot)
        self._freed.append(slot)
