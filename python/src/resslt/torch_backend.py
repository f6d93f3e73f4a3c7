"""Views as torch tensors: (n,3,S,S) in channels_last order, without a copy on the CPU.

On a GPU the ring is pinned once, so that each batch goes straight from it to the device, on a
stream of its own, while the caller computes on the batch before.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .batch import scale_shift
from .errors import UsageError
from .ring import Ring
from .welcome import RunInfo

log = logging.getLogger("resslt")

_REGISTER_PORTABLE = 1  # cudaHostRegisterPortable: pinned for every device


class TorchBackend:
    """Makes tensors on a device, normalised there where that is asked for."""

    def __init__(self, run: RunInfo, ring: Ring | None, device: Any, normalize: bool, dtype: Any) -> None:
        self._device = torch.device("cpu" if device is None else device)
        self._dtype = _dtype(dtype, normalize)
        self._normalize = normalize
        self._scale, self._shift = (torch.from_numpy(v).reshape(1, 3, 1, 1).to(self._device) for v in scale_shift(run))
        self.ahead = self._device.type == "cuda"
        self._stream: Any = torch.cuda.Stream(self._device) if self.ahead else None
        self._pinned = self.ahead and ring is not None and _pin(ring)

    def views(self, pixels: tuple[npt.NDArray[np.uint8], ...]) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
        host = [torch.from_numpy(p) for p in pixels]
        if self._stream is None:
            return [self._finish(v if self._device.type == "cpu" else v.to(self._device)) for v in host], _as_they_are
        with torch.cuda.stream(self._stream):
            if not self._pinned:
                host = [v.pin_memory() for v in host]
            views = [self._finish(v.to(self._device, non_blocking=True)) for v in host]
            copied = torch.cuda.Event()
            copied.record(self._stream)
        return views, _Arrival(self._device, copied, host)

    def labels(self, labels: npt.NDArray[np.int64]) -> Any:
        return torch.from_numpy(labels).to(self._device)

    def _finish(self, v: torch.Tensor) -> torch.Tensor:
        v = v.permute(0, 3, 1, 2)  # NHWC in memory is NCHW in channels_last
        if not self._normalize:
            return v
        return v.to(torch.float32).mul_(self._scale).add_(self._shift).to(self._dtype)


class _Arrival:
    """Has the caller's stream wait for a copy, and keeps the host's memory until it is over."""

    def __init__(self, device: torch.device, copied: Any, host: list[torch.Tensor]) -> None:
        self._device, self._copied, self._host = device, copied, host

    def __call__(self, views: list[Any]) -> list[Any]:
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(self._copied)
        for v in views:
            v.record_stream(stream)
        self._copied.synchronize()  # the slot goes back to the server: its bytes must have been read
        self._host.clear()
        return views


def _pin(ring: Ring) -> bool:
    """Pins the ring's memory; False where the driver refuses, and copies go through other memory."""
    memory = ring.memory
    address, size = memory.ctypes.data, memory.nbytes
    runtime: Any = torch.cuda.cudart()
    code = runtime.cudaHostRegister(address, size, _REGISTER_PORTABLE)
    if int(code) != 0:
        log.info("the ring is not pinned (cudaHostRegister: %s); batches are copied once more", code)
        return False
    weakref.finalize(ring, runtime.cudaHostUnregister, address)
    return True


def _dtype(dtype: Any, normalize: bool) -> torch.dtype:
    default = torch.float32 if normalize else torch.uint8
    chosen = default if dtype is None else getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(chosen, torch.dtype):
        raise UsageError(f"dtype {dtype!r} is none of torch's", hint='use "float32", "bfloat16", "float16" or "uint8"')
    if normalize != chosen.is_floating_point or not normalize and chosen != torch.uint8:
        raise UsageError(f"dtype {chosen} with normalize={normalize}", hint="floats come with normalize=True, uint8 without")
    return chosen


def _as_they_are(views: list[Any]) -> list[Any]:
    return views
