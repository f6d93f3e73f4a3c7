"""Which of several processes this one is, and how the others learn of rank 0's server.

torch.distributed says so where it is initialised; else torchrun's variables (RANK,
WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_PORT, …) do; else there is one process.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import os
import sys
from dataclasses import dataclass
from typing import Any

from . import errors
from .process import socket_folder

_made = itertools.count()  # loaders of this process: every rank makes them in the same order


@dataclass(frozen=True)
class Ranks:
    """This process's rank of world ones. local_world of them are on this machine."""

    rank: int
    world: int
    local_world: int


def detect() -> Ranks:
    """The ranks that torch.distributed or torchrun's variables state."""
    dist = _distributed()
    world = dist.get_world_size() if dist else _variable("WORLD_SIZE", 1)
    rank = dist.get_rank() if dist else _variable("RANK", 0)
    if not 0 <= rank < world:
        raise errors.UsageError(f"RANK {rank} is not one of WORLD_SIZE {world}", hint="start them by torchrun, or give rank= and world=")
    return Ranks(rank, world, _variable("LOCAL_WORLD_SIZE", world))


class Rendezvous:
    """Passes the address of rank 0's server to the other ranks of this machine."""

    def __init__(self, ranks: Ranks) -> None:
        if ranks.local_world != ranks.world:
            raise errors.UsageError(
                f"{ranks.world} ranks are on several machines, and a server that a loader starts is for one",
                hint="start `resslt serve --listen tls:HOST:PORT …` and give connect= to every rank",
            )
        self._store: Any = _store() if _distributed() else None
        number = next(_made)
        self._key = f"resslt/{number}/address"
        run = [os.environ.get(k, "") for k in ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")]
        if self._store is None and not any(run):
            raise errors.UsageError(
                "the ranks have nothing in common by which to find rank 0's server",
                hint="start them by torchrun, set MASTER_PORT, initialise torch.distributed, or give connect=",
            )
        name = hashlib.sha256("\0".join([*run, str(number)]).encode()).hexdigest()[:20]
        self.listen = f"unix:{socket_folder() / name}.sock"

    def tell(self, text: str) -> None:
        """Rank 0: the address, or "error: …" where there is none."""
        if self._store is not None:
            self._store.set(self._key, text)

    def ask(self, timeout: float) -> str:
        """The other ranks: the address at which rank 0's server listens, or is going to."""
        text = self.listen if self._store is None else self._from_store(timeout)
        if text.startswith("error: "):
            raise errors.ServerLost(f"rank 0 has no server: {text.removeprefix('error: ')}")
        return text

    def _from_store(self, timeout: float) -> str:
        try:
            self._store.wait([self._key], datetime.timedelta(seconds=timeout))
            return bytes(self._store.get(self._key)).decode()
        except RuntimeError as e:
            raise errors.WaitError(
                f"rank 0 told no address within {timeout:g} s", hint="see rank 0's log; every rank must make its loaders in the same order"
            ) from e


def _distributed() -> Any:
    """torch.distributed, if the caller has imported and initialised it."""
    if "torch" not in sys.modules:
        return None
    dist = sys.modules.get("torch.distributed")
    return dist if dist is not None and dist.is_available() and dist.is_initialized() else None


def _store() -> Any:
    with contextlib.suppress(ImportError, AttributeError, ValueError):
        from torch.distributed.distributed_c10d import _get_default_store

        return _get_default_store()
    return None


def _variable(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise errors.UsageError(f"{name} is {text!r}, no number", hint="start the ranks by torchrun") from None
