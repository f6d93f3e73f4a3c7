"""A socket to `resslt serve` that gives whole frames, with every wait bounded.

The socket never blocks: an interrupted read (Ctrl-C, a time-out) leaves what has come in
place, and the next read goes on from there.
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import ssl
import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import frames
from .errors import ServerLost

_SMALL = 64 << 10  # bytes of a body above which it gets memory that pages are not cleared for twice


class Frame(NamedTuple):
    """The type of a frame, and its body in memory of its own."""

    kind: int
    body: npt.NDArray[np.uint8]


class Line:
    """Frames over one socket. Not for several threads at once.

    Attributes:
        limit: bytes of the longest frame that is accepted; the welcome's max_frame later.
        silence: seconds without one byte after which the server is held for lost.
    """

    def __init__(self, s: socket.socket, where: str, silence: float) -> None:
        s.setblocking(False)
        self._socket = s
        self._where = where
        self.limit = frames.MAX_FRAME_BEFORE_WELCOME
        self.silence = silence
        self._header = bytearray(frames.HEADER)
        self._body: npt.NDArray[np.uint8] | None = None
        self._kind = 0
        self._have = 0  # bytes of the header, or of the body where there is one
        self._takes_fd = s.family == socket.AF_UNIX
        self.fd: int | None = None  # passed with the first frame; its receiver closes it

    def receive(self, deadline: float | None) -> Frame | None:
        """The next frame; None if it has not wholly come by the deadline (of time.monotonic).

        With no deadline it waits for as long as bytes come at all. A peer that is gone, or
        silent for too long, is a ServerLost.
        """
        heard = time.monotonic()
        while True:
            if self._step():
                heard = time.monotonic()
                if self._body is not None and self._have == self._body.size:
                    frame = Frame(self._kind, self._body)
                    self._body, self._have = None, 0
                    return frame
                continue
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return None
            end = heard + self.silence
            if now >= end:
                why = f"silent for {self.silence:g} s"
                raise ServerLost(why, op="read from", where=self._where, hint="see whether the server is stopped or its machine is away")
            self._poll(select.POLLIN, min(end, deadline or end) - now)

    def send(self, data: bytes) -> None:
        """Sends a whole frame."""
        view = memoryview(data)
        end = time.monotonic() + self.silence
        while view:
            try:
                view = view[self._socket.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError) as e:
                if time.monotonic() >= end:
                    raise ServerLost(f"takes nothing for {self.silence:g} s", op="write to", where=self._where) from None
                self._poll(select.POLLIN if isinstance(e, ssl.SSLWantReadError) else select.POLLOUT, 1)
            except OSError as e:
                raise self._lost(e) from e

    def close(self) -> None:
        """Closes the socket; what was being read is dropped."""
        with contextlib.suppress(OSError):
            self._socket.close()
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def _step(self) -> bool:
        """Reads what there is of the next part of a frame; False if there is nothing."""
        if self._body is None:
            target = memoryview(self._header)
        else:
            if self._body.size == self._have:
                return True
            target = self._body.data
        try:
            n = self._receive_into(target[self._have :])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as e:
            raise self._lost(e) from e
        if n == 0:
            raise self._lost(None)
        self._have += n
        if self._body is None and self._have == frames.HEADER:
            self._kind, length = frames.parse_header(self._header, self.limit)
            self._body, self._have = _memory(length), 0
        return True

    def _receive_into(self, target: memoryview) -> int:
        if not self._takes_fd:
            return self._socket.recv_into(target)
        fds = array.array("i")
        n, ancillary, _, _ = self._socket.recvmsg_into([target], socket.CMSG_SPACE(fds.itemsize), socket.MSG_CMSG_CLOEXEC)
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        for fd in fds:
            if self.fd is None:
                self.fd = fd
            else:  # one is what the protocol has
                os.close(fd)
        if n and self._body is not None:
            self._takes_fd = False  # only the first header brings one
        return n

    def _poll(self, events: int, seconds: float) -> None:
        if isinstance(self._socket, ssl.SSLSocket) and events == select.POLLIN and self._socket.pending():
            return
        poller = select.poll()
        poller.register(self._socket, events)
        poller.poll(max(0, int(seconds * 1000) + 1))

    def _lost(self, cause: OSError | None) -> ServerLost:
        why = (cause.strerror or str(cause)) if cause else "it closed the connection"
        return ServerLost(why, op="read from", where=self._where, hint="the server ended or its machine is away: see its log")


def _memory(length: int) -> npt.NDArray[np.uint8]:
    """length bytes that start at a multiple of 64, as Arrow and JAX like them."""
    if length < _SMALL:
        return np.empty(length, np.uint8)
    whole = np.empty(length + 64, np.uint8)
    start = -whole.ctypes.data % 64
    return whole[start : start + length]
