"""Views as JAX arrays (n,S,S,3), by dlpack: on the CPU they share the batch's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from .batch import scale_shift
from .errors import UsageError
from .welcome import RunInfo


class JaxBackend:
    """Makes JAX arrays on a device, normalised there where that is asked for."""

    ahead = False  # JAX queues the copy and the arithmetic itself

    def __init__(self, run: RunInfo, device: Any, normalize: bool, dtype: Any) -> None:
        self._device = jax.devices(device)[0] if isinstance(device, str) else device
        self._normalize = normalize
        self._dtype = jnp.dtype(dtype or (jnp.float32 if normalize else jnp.uint8))
        if normalize != jnp.issubdtype(self._dtype, jnp.floating):
            raise UsageError(f"dtype {self._dtype} with normalize={normalize}", hint="floats come with normalize=True, uint8 without")
        scale, shift = scale_shift(run)
        self._finish = jax.jit(lambda x: (x.astype(jnp.float32) * scale + shift).astype(self._dtype))

    def views(self, pixels: tuple[npt.NDArray[np.uint8], ...]) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
        views = [self._place(jnp.from_dlpack(p)) for p in pixels]
        if self._normalize:
            views = [self._finish(v) for v in views]
            jax.block_until_ready(views)  # the slot goes back to the server: its bytes must have been read
        return views, _as_they_are

    def labels(self, labels: npt.NDArray[np.int64]) -> Any:
        return self._place(jnp.asarray(labels.astype(np.int32)))

    def _place(self, x: Any) -> Any:
        return x if self._device is None else jax.device_put(x, self._device)


def _as_they_are(views: list[Any]) -> list[Any]:
    return views
