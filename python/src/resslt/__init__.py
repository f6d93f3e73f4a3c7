"""resslt: augmented views from a farm of CPU machines, for anybody's training loop.

    from resslt import Loader

    loader = Loader(data="folder:photos", policy="imagenet", batch_size=256, seed=0)
    for batch in loader:  # one epoch
        batch.views, batch.labels

Which batches come is a function of the run alone; docs/python.md is the guide.
"""

from . import adapters, mix
from .__about__ import __version__
from .batch import Batch, Replaced
from .errors import (
    BusyError,
    CorruptError,
    DeniedError,
    DeterminismError,
    Error,
    ForkedError,
    MismatchError,
    NoServerError,
    NotFoundError,
    ProtocolError,
    ServerError,
    ServerLost,
    TombstoneError,
    UsageError,
    WaitError,
)
from .loader import Loader
from .welcome import RunInfo, View

__all__ = [
    "Batch",
    "BusyError",
    "CorruptError",
    "DeniedError",
    "DeterminismError",
    "Error",
    "ForkedError",
    "Loader",
    "MismatchError",
    "NoServerError",
    "NotFoundError",
    "ProtocolError",
    "Replaced",
    "RunInfo",
    "ServerError",
    "ServerLost",
    "TombstoneError",
    "UsageError",
    "View",
    "WaitError",
    "__version__",
    "adapters",
    "mix",
]
