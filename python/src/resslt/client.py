"""One connection to `resslt serve`: batches in step order, acknowledged as they are used up."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import __about__, address, errors, frames, welcome
from .decode import Decoder, Raw
from .line import Line
from .ring import Ring

log = logging.getLogger("resslt")

_SILENCE = 30.0  # s; a server whose farm has no batch says so every 5 s
_OPENING = 90.0  # s until the welcome: a farm's lease may have to run out first
_ASK_AGAIN = 0.05  # s
_BUSY_RETRY = 5.0  # s in which the server should see that the last connection of our name is gone


@dataclass(frozen=True)
class Hello:
    """Who connects, and from where on. start -1 is where the name's last session was acknowledged to."""

    address: address.Address
    client: str = "train"
    token: str = ""
    start: int = -1
    rank: int = 0
    world: int = 1
    credits: int = 3
    shared_memory: bool = True
    digest: str = ""
    ca: str | None = None
    timeout: float = 30.0  # s to connect


class Connection:
    """A session with a server. It belongs to one thread of one process.

    Attributes:
        run: what the server says of its run.
        ring: the shared memory, or None where batches come through the socket.
        next: the step that comes next.
        ended: whether the run's last step has come.
    """

    def __init__(self, hello: Hello) -> None:
        self._where = str(hello.address)
        self._line = Line(address.connect(hello.address, hello.timeout, hello.ca), self._where, _OPENING)
        self._pid = os.getpid()
        self._why = ""  # of the last wait
        self._stopping = ""
        self.ended = False
        self.ring: Ring | None = None
        _live.add(self)
        try:
            self._line.send(frames.pack_json(frames.HELLO, _hello(hello)))
            self.run = welcome.parse(frames.parse_json(self._expect(frames.WELCOME), "welcome"))
            self._map()
            self._line.limit = max(self.run.max_frame, frames.MAX_FRAME_BEFORE_WELCOME)
            self._decoder = Decoder(self._expect(frames.SCHEMA), self.run)
        except BaseException:
            self._line.close()
            raise
        self._line.silence = _SILENCE
        self.next = self.run.start

    def receive(self, timeout: float | None = None) -> Raw | None:
        """The next batch.

        None if it has not come within timeout seconds, or if the run has ended (see ended).
        Any error of the server is raised as its class.
        """
        self._check_process()
        self.release()
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.ended:
            frame = self._line_receive(deadline)
            if frame is None:
                return None
            kind, body = frame
            if kind == frames.DATA:
                return self._arrived(self._decoder.decode(body))
            if kind == frames.MAPPED:
                return self._mapped(frames.parse_mapped(body.data))
            if kind == frames.EVENT:
                self._event(frames.parse_json(body.data, "event"))
            else:
                self._unexpected(kind, body)
        return None

    def ack(self, step: int) -> None:
        """Says that step is used up, so that it is not handed out again."""
        self._check_process()
        self._line.send(frames.pack_number(frames.ACK, step))

    def release(self) -> None:
        """Gives the slots back that no array refers to any more."""
        for slot in self.ring.freed() if self.ring else ():
            self._line.send(frames.pack_number(frames.RELEASE, slot))

    def close(self, bye: bool = True) -> None:
        """Ends the session. With bye the name leaves for good; without, its position is kept."""
        if os.getpid() == self._pid and bye:
            with contextlib.suppress(errors.Error):
                self._line.send(frames.pack(frames.BYE))
        self._line.close()

    @property
    def why(self) -> str:
        """Why the server last said that there was no batch."""
        return self._why

    def _mapped(self, place: frames.Mapped) -> Raw:
        if self.ring is None:
            raise errors.ProtocolError("the server gives a place in a ring that it has not passed")
        memory = self.ring.take(place)
        if self.ring.crowded:  # the caller keeps what it gets: a copy leaves the server a slot to go on with
            memory = memory.copy()
        raw = self._decoder.decode(memory)
        if raw.step != place.step:
            raise errors.ProtocolError(f"the server's ring has step {raw.step} where {place.step} was announced")
        return self._arrived(raw)

    def _arrived(self, raw: Raw) -> Raw:
        if raw.step != self.next:
            raise errors.ProtocolError(f"the server gave step {raw.step} where {self.next} comes next")
        self.next += 1
        return raw

    def _event(self, event: dict[str, Any]) -> None:
        name = event.get("event")
        if name == "waiting":
            self._why = errors.one_line(str(event.get("why", "")))
            seconds = event.get("seconds", 0)
            log.warning("waiting %.0f s for step %s: %s", seconds if isinstance(seconds, (int, float)) else 0, event.get("step"), self._why)
        elif name == "warning":
            log.warning("%s", errors.one_line(str(event.get("text", ""))))
        elif name == "stopping":
            self._stopping = errors.one_line(str(event.get("text", ""))) or "the server was told to stop"
            log.warning("%s", self._stopping)
        elif name == "end":
            self.ended = True

    def _line_receive(self, deadline: float | None) -> Any:
        try:
            return self._line.receive(deadline)
        except errors.ServerLost as e:
            if self._stopping:
                raise errors.ServerLost(self._stopping, op="read from", where=self._where, hint="start the server again and resume") from e
            raise

    def _expect(self, wanted: int) -> memoryview:
        """The body of the next frame, which is to be of one type."""
        while True:
            frame = self._line.receive(None)
            assert frame is not None  # without a deadline a frame comes, or an error
            if frame.kind == wanted:
                return frame.body.data
            if frame.kind == frames.EVENT:
                self._event(frames.parse_json(frame.body.data, "event"))
                continue
            self._unexpected(frame.kind, frame.body)

    def _unexpected(self, kind: int, body: npt.NDArray[np.uint8]) -> None:
        if kind == frames.ERROR:
            raise errors.from_wire(frames.parse_json(body.data, "error"))
        raise errors.ProtocolError(f"the server sent a frame of type {chr(kind)!r}, which does not belong here")

    def _map(self) -> None:
        fd, self._line.fd = self._line.fd, None
        try:
            if self.run.ring is not None:
                if fd is None:
                    raise errors.ProtocolError("the server announced shared memory and passed none")
                self.ring = Ring(fd, self.run.ring)
        finally:
            if fd is not None:
                os.close(fd)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise errors.ForkedError(
                f"this connection belongs to process {self._pid}, of which this one was forked", hint="make a Loader in this process"
            )


def open_connection(hello: Hello, patience: float = 0) -> Connection:
    """A session.

    While the server still holds our name's last one, it is asked again for some seconds;
    while nothing listens at its address, for patience seconds. Nothing announces either.
    """
    start = time.monotonic()
    while True:
        try:
            return Connection(hello)
        except (errors.BusyError, errors.NoServerError) as e:
            if time.monotonic() - start >= (_BUSY_RETRY if isinstance(e, errors.BusyError) else patience):
                raise
            time.sleep(_ASK_AGAIN)


def _hello(hello: Hello) -> dict[str, Any]:
    return {
        "protocol": frames.PROTOCOL,
        "client": hello.client,
        "token": hello.token,
        "from": hello.start,
        "rank": hello.rank,
        "world": hello.world,
        "credits": hello.credits,
        "shm": hello.shared_memory and hello.address.scheme == "unix",
        "digest": hello.digest,
        "agent": f"resslt-python/{__about__.__version__}",
    }


# A child of fork gets copies of the descriptors. It closes them, so that the server sees the
# end of its client when the client ends, and not when its last child does.
_live: weakref.WeakSet[Connection] = weakref.WeakSet()


def _forked() -> None:
    for connection in list(_live):
        connection._line.close()


os.register_at_fork(after_in_child=_forked)
