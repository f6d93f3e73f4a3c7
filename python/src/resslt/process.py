"""A `resslt serve` of one's own: started, found ready, and ended with its client.

The server reads its standard input, the pipe from here. When this process ends, however it
does, the pipe closes, and the server leaves with its workers and its run.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import secrets
import select
import shutil
import signal
import stat
import subprocess
import sysconfig
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import errors

log = logging.getLogger("resslt.server")

_SAY = 5.0  # s between lines about a server that is not ready yet
_LEAVE = 10.0  # s that a server gets to end by itself
_MAX_LINE = 1 << 20  # bytes of the line that says where it listens
_HINT = re.compile(r"^(?P<text>.*) \(hint: (?P<hint>.*)\)$")


def find_program() -> str:
    """The path of the program: $RESSLT_PROGRAM, the wheel's, or the one in PATH."""
    named = os.environ.get("RESSLT_PROGRAM")
    if named:
        if not os.access(named, os.X_OK):
            raise errors.NotFoundError("is no program", op="RESSLT_PROGRAM", where=named, hint="set it to the path of bin/resslt")
        return named
    packed = Path(__file__).parent / "_bin" / "resslt"
    if packed.exists():
        return str(packed)
    found = shutil.which("resslt")
    if found and Path(found).resolve() != (Path(sysconfig.get_path("scripts")) / "resslt").resolve():
        return found
    raise errors.NotFoundError(
        "this package came without the program resslt",
        hint="install the wheel for your platform, put resslt on PATH, set RESSLT_PROGRAM, or give connect=",
    )


def socket_folder() -> Path:
    """A folder for sockets that only this user can open. It is kept: its name is the user's."""
    for root in (os.environ.get("XDG_RUNTIME_DIR"), "/tmp", tempfile.gettempdir()):
        if not root or len(root) > 60:  # the path of a socket is short
            continue
        folder = Path(root) / f"resslt-{os.getuid()}"
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            s = folder.lstat()
            if stat.S_ISDIR(s.st_mode) and s.st_uid == os.getuid() and not s.st_mode & 0o077:
                return folder
    raise errors.UsageError("no folder for a socket that only you can open", hint="set XDG_RUNTIME_DIR to a folder of yours with mode 0700")


def new_socket() -> str:
    """An address that nobody listens at."""
    return f"unix:{socket_folder() / secrets.token_hex(8)}.sock"


class Server:
    """A server that ends with this process, if not before.

    Attributes:
        ready: the server's line about itself (listen, run, digest, …), once wait_ready was called.
    """

    def __init__(self, arguments: Sequence[str], listen: str) -> None:
        command = [find_program(), "serve", *arguments, "--listen", listen, "--with-parent"]
        self._pid = os.getpid()
        self.ready: dict[str, Any] = {}
        self._last: deque[str] = deque(maxlen=20)
        self._out = b""
        # A session of its own: Ctrl-C is this process's to handle, which may want to save first.
        self._process = subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=_relay, args=(self._process.stderr, self._last), name="resslt-log", daemon=True)
        self._reader.start()
        _live.add(self)

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def wait_ready(self, timeout: float) -> dict[str, Any]:
        """The server's line about itself; its own error if it ends before, WaitError after timeout seconds."""
        start = time.monotonic()
        said = start
        assert self._process.stdout is not None
        while not self.ready:
            if select.select([self._process.stdout], [], [], min(_SAY, timeout))[0]:
                self._read_line(os.read(self._process.stdout.fileno(), _MAX_LINE))
                continue
            now = time.monotonic()
            if now - start >= timeout:
                why = f"the server is not ready after {timeout:g} s: {self.last_words()}"
                raise errors.WaitError(why, hint="give start_timeout= more seconds")
            if now - said >= _SAY:
                said = now
                log.warning("waiting %.0f s for the server to be ready: %s", now - start, self.last_words())
        return self.ready

    def failure(self) -> errors.Error | None:
        """Why the server ended, as it said itself; None while it runs."""
        try:
            code = self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(timeout=1)
        if code < 0:
            return errors.ServerLost(f"the server was killed by {_signal(-code)}", hint="make the loader again and load the saved state")
        words = self.last_words()
        text, hint = words, ""
        if m := _HINT.match(words):
            text, hint = m["text"], m["hint"]
        cls = errors.UsageError if code == 2 else errors.ServerLost if code == 0 else errors.ServerError
        return cls(text.removeprefix("resslt: ").removeprefix("error: ") or f"the server ended with code {code}", hint=hint)

    def last_words(self) -> str:
        """The last line of its log."""
        return next((line for line in reversed(self._last) if line), "it has said nothing")

    def stop(self, grace: float = 0.0) -> None:
        """Has the server end. grace: s to let it end by itself first, when other ranks still read."""
        if os.getpid() != self._pid:
            return
        process = self._process
        if grace:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=grace)
        _close(process.stdin)
        for end in (process.terminate, process.kill):
            try:
                process.wait(timeout=_LEAVE)
                break
            except subprocess.TimeoutExpired:
                end()
        process.wait()
        self._reader.join(timeout=1)
        _close(process.stdout)

    def _read_line(self, data: bytes) -> None:
        if not data:
            raise self.failure() or errors.ServerError("the server closed its output and said nothing")
        self._out += data
        line, newline, _ = self._out.partition(b"\n")
        if not newline:
            if len(self._out) > _MAX_LINE:
                raise errors.ProtocolError("the server does not say where it listens")
            return
        try:
            self.ready = json.loads(line)
        except ValueError:
            raise errors.ProtocolError(f"the server's first line is not JSON: {line[:80]!r}") from None


def _relay(stream: Any, last: deque[str]) -> None:
    """Passes the server's log on, line by line, until it ends."""
    with io.BufferedReader(stream) as lines:
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            last.append(text)
            log.info("%s", text)


def _close(stream: Any) -> None:
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.close()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# A forked child must not hold the pipe open: the server would outlive its client.
_live: weakref.WeakSet[Server] = weakref.WeakSet()


def _forked() -> None:
    for server in list(_live):
        for stream in (server._process.stdin, server._process.stdout):
            _close(stream)


os.register_at_fork(after_in_child=_forked)
