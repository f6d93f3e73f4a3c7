"""A loader's server, if it has one of its own, and its connection to a server."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import address, client, errors, process, ranks
from .batch import Backend, Batch, NumpyBackend, assemble
from .config import Config
from .errors import MismatchError, UsageError
from .welcome import RunInfo

_OTHERS = 30.0  # s that rank 0 leaves its server to ranks that still read


class Session:
    """A loader's server, if it has one of its own, and its connection; it outlives neither."""

    def __init__(self, config: Config) -> None:
        self._config = config
        found = ranks.detect()
        if config.rank is not None and config.world is not None:
            found = ranks.Ranks(config.rank, config.world, found.local_world if found.world == config.world else config.world)
        self._ranks = found
        self._pid = os.getpid()
        self._server: process.Server | None = None
        self._connection: client.Connection | None = None
        self._backend: Backend | None = None
        self._ahead: Callable[[], Batch] | None = None  # of the step before the connection's next
        self._unsettled: int | None = None  # the step that the caller has and is not acknowledged
        self._closed = False
        self._address = config.connect or ""
        self._meeting = ranks.Rendezvous(found) if not config.connect and found.world > 1 else None
        self.known: RunInfo | None = None
        if config.connect:
            address.parse(config.connect)
        elif found.rank == 0:
            listen = self._meeting.listen if self._meeting else process.new_socket()
            # Several ranks leave one after another: the server stays for the last of them.
            flags = config.serve_flags() + (["--once"] if found.world > 1 else [])
            try:
                self._server = process.Server(flags, listen)
            except errors.Error as e:
                self._tell(f"error: {e}")
                raise

    def check_open(self) -> None:
        """Raises where the loader was closed."""
        if self._closed:
            raise UsageError("this loader is closed", hint="make a new one")

    def connection(self, step: int, digest: str) -> client.Connection:
        """The connection, made where there is none, that gives step next."""
        self.check_open()
        current = self._connection
        if current is not None and self._position(current) == step and (not digest or digest == current.run.digest):
            return current
        self._drop()
        hello = client.Hello(
            address=address.parse(self._find()),
            client=self._config.client,
            token=self._config.secret(),
            start=step,
            rank=self._ranks.rank,
            world=self._ranks.world,
            credits=self._config.credits,
            shared_memory=self._config.shared_memory,
            digest=digest,
            ca=self._config.ca,
        )
        # Rank 0's server may not listen yet when another rank is ready for it.
        patience = self._config.start_timeout if self._meeting is not None and self._ranks.rank else 0
        with self._explained():
            made = client.open_connection(hello, patience)
        if digest and made.run.digest != digest:
            made.close()
            raise other_run(digest, made.run.digest)
        self._connection, self.known = made, made.run
        self._backend = _backend(self._config, made)
        return made

    def batch(self, step: int, digest: str) -> Batch:
        """The batch of a step: the one that is on its way, or the next of the connection.

        The batch before is used up now.
        """
        connection = self.connection(step, digest)
        self.settle()
        assert self._backend is not None
        finish, self._ahead = self._ahead, None
        if finish is None:
            finish = self._assemble(connection, self._wait(connection, step))
        made = finish()
        if self._backend.ahead and not connection.ended:
            with self._explained():
                raw = connection.receive(timeout=0)
            if raw is not None:
                self._ahead = self._assemble(connection, raw)
        self._unsettled = step
        return made

    def settle(self) -> None:
        """Tells the server that the batch before is used up."""
        step, self._unsettled = self._unsettled, None
        if self._connection is not None and step is not None:
            with self._explained():
                self._connection.ack(step)

    def close(self) -> None:
        """Leaves the server, and ends it if it is our own. A forked copy of it does nothing."""
        if os.getpid() != self._pid:
            return
        self._closed = True
        self._ahead = self._unsettled = None
        if self._connection is not None:
            self._connection.close(bye=True)
            self._connection = None
        if self._server is not None:
            self._server.stop(grace=_OTHERS if self._ranks.world > 1 and self.known else 0)
            self._server = None

    def _wait(self, connection: client.Connection, step: int) -> Any:
        limit = self._config.wait_timeout
        start = time.monotonic()
        with self._explained():
            raw = connection.receive(limit)
        if raw is None and connection.ended:
            raise errors.ServerLost(f"the run ended before step {step}", hint="make the loader with more epochs")
        if raw is None:
            raise errors.WaitError(
                f"no batch of step {step} within {time.monotonic() - start:.0f} s: {connection.why or 'the server did not say why'}",
                hint="see the farm's workers with `resslt status`, or give wait_timeout= more seconds",
            )
        return raw

    def _assemble(self, connection: client.Connection, raw: Any) -> Callable[[], Batch]:
        assert self._backend is not None
        c = self._config
        return assemble(raw, connection.run, self._backend, c.labels is not False, c.digests)

    def _position(self, connection: client.Connection) -> int:
        """The step that the caller gets next from a connection."""
        return connection.next - (self._ahead is not None)

    def _find(self) -> str:
        """The server's address, once it listens."""
        if self._server is not None:
            try:
                self._address = str(self._server.wait_ready(self._config.start_timeout)["listen"])
            except errors.Error as e:
                self._tell(f"error: {e}")
                raise
            self._tell(self._address)
        elif self._meeting is not None and not self._address:
            self._address = self._meeting.ask(self._config.start_timeout)
        return self._address

    def _tell(self, text: str) -> None:
        if self._meeting is not None:
            self._meeting.tell(text)

    def _drop(self) -> None:
        self._ahead = self._unsettled = None
        if self._connection is not None:
            self._connection.close(bye=False)
            self._connection = None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Says of a server of one's own why it ended, where the connection knows only that it did."""
        try:
            yield
        except errors.ServerLost as e:
            why = self._server.failure() if self._server is not None else None
            if why is not None:
                raise why from e
            raise


def _backend(config: Config, connection: client.Connection) -> Backend:
    run = connection.run
    if config.views == "numpy":
        if config.device is not None:
            raise UsageError(f"device {config.device!r} for numpy's arrays", hint='numpy has no devices; use views="torch" or "jax"')
        return NumpyBackend(run, config.normalize, config.dtype)
    try:
        if config.views == "jax":
            from .jax_backend import JaxBackend

            return JaxBackend(run, config.device, config.normalize, config.dtype)
        from .torch_backend import TorchBackend

        return TorchBackend(run, connection.ring, config.device, config.normalize, config.dtype)
    except ModuleNotFoundError as e:
        raise UsageError(f"{e.name} is not installed", hint=f'install it, or use views="numpy" in place of views="{config.views}"') from e


def other_run(saved: str, has: str) -> MismatchError:
    return MismatchError(
        f"the saved state is of run {saved[:12]}, this run is {has[:12]}",
        hint="use the data, policy, batch size, seed and epochs of the saved run, or start anew without its state",
    )
