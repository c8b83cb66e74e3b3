"""The array-api-strict backend, which offers only what the array API standard guarantees, for tests of portability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from portable_bp.backends.contract import Memory
from portable_bp.backends.host import host_array, refuse_device, refuse_kind
from portable_bp.backends.loops import Loop, plain_loop
from portable_bp.backends.pickling import BaseBackend
from portable_bp.common.lookup import require

xp = require("array_api_strict", "test")


def version() -> str:
    """Return array-api-strict's version."""
    return xp.__version__


def devices() -> tuple[str, ...]:
    """Return its devices: all are in main memory, but their arrays cannot be mixed."""
    return tuple(device._device for device in xp.__array_namespace_info__().devices())


class StrictBackend(BaseBackend):
    """Arrays on "CPU_DEVICE", "device1" or "device2"."""

    name = "strict"
    xp = xp

    def __init__(self, device: str, dtype: str, precision: str) -> None:
        self.device = xp.Device(device)
        self.dtype = getattr(xp, dtype)
        self.precision = precision

    def asarray(self, data: Any, dtype: str | None = None) -> Any:
        """Return data as an array on this device."""
        wanted = getattr(xp, dtype) if dtype else self.dtype
        if hasattr(data, "__array_namespace__") and data.__array_namespace__() is xp:
            refuse_device(data.device, self.device)
            refuse_kind(xp, data.dtype, dtype)
            return xp.astype(data, wanted, copy=False)
        array = host_array(data, dtype or np.dtype(self.dtype._np_dtype).name, self.name)
        return xp.asarray(array, dtype=wanted, device=self.device, copy=True)

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return the array as a NumPy array."""
        return np.asarray(array.to_device(xp.Device("CPU_DEVICE")))

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function without NumPy's warnings of overflow, as in the NumPy backend."""
        return np.errstate(all="ignore")(function)

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Loop:
        """Return the loop that calls the function for each item."""
        return plain_loop(self.compile(function))

    def synchronize(self) -> None:
        """Return immediately: a call returns when it is done."""

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether this is the error of NumPy, which it is built on."""
        return isinstance(error, MemoryError)

    def memory(self) -> Memory | None:
        """Return None, as the NumPy backend does."""
        return None
