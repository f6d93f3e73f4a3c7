"""The loader: an iterable over a run's batches, one epoch for each `for`."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .batch import Batch
from .config import Config
from .errors import ForkedError, MismatchError, UsageError
from .session import Session, other_run
from .welcome import RunInfo

_STATE_VERSION = 1


class Loader:
    """Batches of augmented views, of a farm or of this machine's own workers.

    `for batch in loader` is one epoch, and the next `for` the next one. A batch is used up
    when the next one is asked for. Which batches come depends on the run alone: on data,
    policy, batch size and seed, and on no number of workers, ranks' speed or restarts.

    Args:
        recipe: a recipe's name or a YAML file, as `resslt run --recipe` takes it.
        data: the pictures: "folder:DIR", "wds:GLOB", "parquet:GLOB", "imagenet-tar:FILE", …
        policy: how views are drawn: "imagenet", "small", "simclr", …, or a policy's YAML file.
        batch_size: rows of a batch, over all ranks.
        seed: of the order and of every draw.
        epochs: after these the run is over. None: without end, or the recipe's.
        split, order, image_size: of the data, as the flags of `resslt serve`.
        settings: fields of the recipe to override, as `--set`.
        nats: the broker's URL. The farm's workers then do the work, none is started here.
        run: the run's name in the broker; it stays there at the end. Without one, the run
            gets a name and is deleted when this process ends, however it does.
        workers: threads that decode and draw on this machine, without nats.
        serve_args: more flags of `resslt serve`, such as ("--creds", "FILE").
        connect: the address of a server that runs already, in place of all of the above:
            "unix:PATH", "tcp:HOST:PORT" or "tls:HOST:PORT", with token and, for TLS, ca.
        client: this client's name. Several clients of one server get the same batches, each
            under its own name.
        rank, world: of several processes that share each batch. By default those of
            torch.distributed or of torchrun.
        credits: batches that the server may be ahead of the caller.
        shared_memory: False has a local server send its batches through the socket.
        views: "torch", "numpy" or "jax": whose arrays the views are.
        device: where torch's or JAX's arrays are to be.
        normalize: float views, (x/255 - mean)/std on the device, with the run's mean and std.
        dtype: of normalised views: "float32", "bfloat16" or a torch, numpy or JAX dtype.
        labels: True refuses data without labels, False leaves labels out.
        digests: each batch has its digest, to compare with another run's.
        collate: what to yield for a batch, for scripts that want tuples (resslt.adapters).
        start_timeout: seconds that a server gets to be ready.
        wait_timeout: seconds to wait for a batch before a WaitError. None: as long as the
            server says why there is none.

    Raises:
        UsageError: at once for arguments that cannot be; later those of the server.
    """

    def __init__(
        self,
        recipe: str | os.PathLike[str] | None = None,
        *,
        data: str | None = None,
        policy: str | None = None,
        batch_size: int | None = None,
        seed: int | None = None,
        epochs: int | None = None,
        split: str | None = None,
        order: str | None = None,
        image_size: int | None = None,
        settings: Mapping[str, Any] | None = None,
        nats: str | None = None,
        run: str | None = None,
        workers: int | None = None,
        serve_args: Sequence[str] = (),
        connect: str | None = None,
        token: str | None = None,
        ca: str | None = None,
        client: str = "train",
        rank: int | None = None,
        world: int | None = None,
        credits: int = 3,
        shared_memory: bool = True,
        views: str = "torch",
        device: Any = None,
        normalize: bool = False,
        dtype: Any = None,
        labels: bool | None = None,
        digests: bool = False,
        collate: Callable[[Batch], Any] | None = None,
        start_timeout: float = 300.0,
        wait_timeout: float | None = None,
    ) -> None:
        self._config = Config(
            recipe=None if recipe is None else os.fspath(recipe),
            data=data,
            policy=policy,
            batch_size=batch_size,
            seed=seed,
            epochs=epochs,
            split=split,
            order=order,
            image_size=image_size,
            settings=dict(settings or {}),
            nats=nats,
            run=run,
            workers=workers,
            serve_args=tuple(serve_args),
            connect=connect,
            token=token,
            ca=ca,
            client=client,
            rank=rank,
            world=world,
            credits=credits,
            shared_memory=shared_memory,
            views=views,
            device=device,
            normalize=normalize,
            dtype=dtype,
            labels=labels,
            digests=digests,
            start_timeout=start_timeout,
            wait_timeout=wait_timeout,
        )
        self._collate = collate
        self._begin()

    def _begin(self) -> None:
        """What a new loader does, and an unpickled one in its process."""
        self._config.check()
        self._pid = os.getpid()
        self._session = Session(self._config)
        self._finalizer = weakref.finalize(self, Session.close, self._session)
        self._step = 0  # the step that comes next to the caller
        self._drawn = False  # whether a batch was taken since the current `for` began
        self._digest = ""  # of the run that a loaded state is of
        self._iterator = 0  # number of the iterator that is valid; 0 while none is
        self._iterators = 0  # that there were

    # What is known of the run.

    @property
    def info(self) -> RunInfo:
        """All that the server says of the run; it connects if that is not done yet."""
        self._check_process()
        return self._session.known or self._session.connection(self._step, self._digest).run

    def __len__(self) -> int:
        """Batches of an epoch, the same for every rank."""
        return self.info.steps_per_epoch

    @property
    def epochs(self) -> int | None:
        """Epochs of the run, None if it is without end."""
        return self.info.epochs or None

    @property
    def epoch(self) -> int:
        """The epoch of the batch that comes next."""
        return self._step // self.info.steps_per_epoch

    @property
    def step(self) -> int:
        """The step of the run that comes next."""
        return self._step

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the labels' order."""
        return self.info.classes

    @property
    def num_classes(self) -> int:
        """How many classes the labels are of; 0 where there are no labels."""
        return self.info.num_classes

    @property
    def batch_size(self) -> int:
        """Rows of a batch for this rank."""
        low, high = self.info.rows
        return high - low

    # Iteration.

    def __iter__(self) -> Iterator[Any]:
        self._check_process()
        self._session.check_open()
        if self._iterator and self._drawn:
            self._skip_to_epoch()
        run = self.info
        self._check_run(run)
        if run.epochs and self._step >= run.steps:
            raise UsageError(f"the run is over: its {run.epochs} epochs are used up", hint="make the loader with more epochs, or set_epoch")
        self._drawn = False
        self._iterators += 1
        self._iterator = self._iterators
        return _Epoch(self, self._iterator, (self._step // run.steps_per_epoch + 1) * run.steps_per_epoch)

    def set_epoch(self, epoch: int) -> None:
        """The next `for` is this epoch, from its start; a state loaded within it stays as it is."""
        if epoch < 0:
            raise UsageError(f"epoch {epoch}", hint="epochs count from 0")
        length = self.info.steps_per_epoch
        if self._drawn or self._step // length != epoch:
            self._step = epoch * length
        self._drawn, self._iterator = False, 0

    def __getitem__(self, index: Any) -> Any:
        raise UsageError(
            "a Loader hands out whole batches in their order and has no samples to index",
            hint="iterate over it directly, in place of torch's DataLoader and not within one",
        )

    # State, by the protocol of torchdata's StatefulDataLoader.

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch that was taken, as plain values.

        A loader with this state continues with the next batch, in the same epoch. The state
        names the run by its digest, so that another run does not take it.
        """
        run = self.info
        return {"version": _STATE_VERSION, "digest": run.digest, "step": self._step, "steps_per_epoch": run.steps_per_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a state. MismatchError if it is another run's."""
        self._check_process()
        version, step, digest = state.get("version"), state.get("step"), state.get("digest")
        if version != _STATE_VERSION or not isinstance(step, int) or step < 0 or not isinstance(digest, str):
            raise UsageError("this is no state of a Loader of this version", hint="give what state_dict() returned")
        known = self._session.known
        if known is not None and known.digest != digest:
            raise other_run(digest, known.digest)
        self._step, self._digest = step, digest
        self._drawn, self._iterator = False, 0

    # Life.

    def close(self) -> None:
        """Leaves the server, and ends it if this loader started it. Batches stay valid."""
        self._iterator = 0
        self._finalizer()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self._config, "collate": self._collate, "step": self._step, "digest": self._digest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._config, self._collate = state["config"], state["collate"]
        self._begin()
        self._step, self._digest = state["step"], state["digest"]

    def __repr__(self) -> str:
        c = self._config
        return f"Loader({c.connect or c.recipe or c.data}, step {self._step})"

    def _next(self, epoch: _Epoch) -> Any:
        """The next batch of an epoch; the batch before is used up now."""
        self._check_process()
        if self._iterator != epoch.number:
            raise UsageError("the loader was iterated anew, closed, or got another state since", hint="use its newest iterator")
        if self._step >= epoch.end:
            self._session.settle()
            raise StopIteration
        batch = self._session.batch(self._step, self._digest)
        self._step += 1
        self._drawn = True
        return batch if self._collate is None else self._collate(batch)

    def _skip_to_epoch(self) -> None:
        """A `for` that was left early: the next one is the next epoch."""
        length = self.info.steps_per_epoch
        self._step = -(-self._step // length) * length

    def _check_run(self, run: RunInfo) -> None:
        c = self._config
        if c.labels and not run.num_classes:
            raise UsageError("the data has no labels", hint="use data with a folder or a label for each class, or labels=None")
        for name, value in (("batch_size", c.batch_size), ("seed", c.seed)):
            has = run.batch_size if name == "batch_size" else run.spec.get("seed")
            if c.connect and value is not None and value != has:
                raise MismatchError(f"the server's run has {name} {has}, not {value}", hint=f"leave {name}= out, or use another server")

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedError(
                f"this loader belongs to process {self._pid}, of which this one was forked",
                hint="make a Loader in this process, or use the spawn start method and pass it the loader",
            )


class _Epoch:
    """The iterator over the rest of an epoch, up to step end.

    The loader knows it by number alone, so that a dropped loader is no cycle and goes at once.
    """

    def __init__(self, loader: Loader, number: int, end: int) -> None:
        self._loader = loader
        self.number = number
        self.end = end

    def __iter__(self) -> _Epoch:
        return self

    def __next__(self) -> Any:
        return self._loader._next(self)
