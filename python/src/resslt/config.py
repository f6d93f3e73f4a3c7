"""What a loader was asked for, as plain values that can be pickled, and as `resslt serve`'s flags."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import UsageError

_NAME = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_OF_A_RUN = ("recipe", "data", "policy", "nats", "run", "workers", "epochs", "split", "order", "image_size")
_VIEWS = ("torch", "numpy", "jax")


@dataclass(frozen=True)
class Config:
    """The arguments of Loader, which documents them."""

    recipe: str | None = None
    data: str | None = None
    policy: str | None = None
    batch_size: int | None = None
    seed: int | None = None
    epochs: int | None = None
    split: str | None = None
    order: str | None = None
    image_size: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    nats: str | None = None
    run: str | None = None
    workers: int | None = None
    serve_args: tuple[str, ...] = ()
    connect: str | None = None
    token: str | None = None
    ca: str | None = None
    client: str = "train"
    rank: int | None = None
    world: int | None = None
    credits: int = 3
    shared_memory: bool = True
    views: str = "torch"
    device: Any = None
    normalize: bool = False
    dtype: Any = None
    labels: bool | None = None
    digests: bool = False
    start_timeout: float = 300.0
    wait_timeout: float | None = None

    def check(self) -> None:
        """Raises a UsageError for what cannot be, before anything is started."""
        if not _NAME.match(self.client):
            raise UsageError(f"client {self.client!r}", hint="use 1 to 64 of letters, digits, '-' and '_'")
        if self.views not in _VIEWS:
            raise UsageError(f"views {self.views!r}", hint="use " + ", ".join(_VIEWS))
        if not 1 <= self.credits <= 64:
            raise UsageError(f"credits {self.credits}", hint="use 1 to 64 batches")
        if (self.rank is None) != (self.world is None):
            raise UsageError("rank and world go together", hint="give both, or neither where torchrun says them")
        if self.rank is not None and self.world is not None and not 0 <= self.rank < self.world:
            raise UsageError(f"rank {self.rank} is not one of world {self.world}", hint="ranks count from 0")
        if self.connect is None:
            self._check_run()
        else:
            self._check_connect(self.connect)

    def _check_run(self) -> None:
        if self.recipe is None and self.data is None:
            raise UsageError("neither a recipe nor data", hint='give data="folder:DIR", policy= and batch_size=, or a recipe, or connect=')
        if self.recipe is None and (self.policy is None or self.batch_size is None):
            raise UsageError("data without a recipe needs policy= and batch_size=", hint='policy="imagenet", batch_size=256')
        if self.token is not None or self.ca is not None:
            raise UsageError("token and ca are for connect=", hint="leave them out: your own server is reached by a private socket")

    def _check_connect(self, address: str) -> None:
        given = [k for k in _OF_A_RUN if getattr(self, k) is not None]
        if given or self.settings or self.serve_args:
            what = ", ".join(given) or "settings and serve_args"
            raise UsageError(f"{what} cannot be given with connect={address!r}", hint="the server at that address has its run already")

    def serve_flags(self) -> list[str]:
        """The flags of `resslt serve` for this run."""
        flags: list[str] = []

        def add(flag: str, value: Any) -> None:
            if value is not None:
                flags.append(f"--{flag}={value}")

        add("recipe", self.recipe)
        add("data", self.data)
        add("policy", self.policy)
        add("batch-size", self.batch_size)
        add("seed", self.seed)
        add("epochs", 0 if self.epochs is None and self.recipe is None else self.epochs)
        add("split", self.split)
        add("order", self.order)
        add("image-size", self.image_size)
        add("nats", self.nats)
        add("run", self.run)
        add("workers", self.workers)
        flags += [f"--set={key}={value}" for key, value in self.settings.items()]
        return [*flags, *self.serve_args]

    def secret(self) -> str:
        """The token for the server: the one given, or $RESSLT_TOKEN."""
        return self.token if self.token is not None else os.environ.get("RESSLT_TOKEN", "") if self.connect else ""
