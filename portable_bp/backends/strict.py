"""array-api-strict: NumPy with nothing that the standard does not promise, for tests of what is portable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from portable_bp.backends.contract import Memory
from portable_bp.backends.host import host_array, refuse_device, refuse_kind
from portable_bp.backends.loops import Loop, plain_loop
from portable_bp.backends.values import BackendValue
from portable_bp.common.lookup import require

xp = require("array_api_strict", "test")


def version() -> str:
    """Return array-api-strict's version."""
    return xp.__version__


def devices() -> tuple[str, ...]:
    """Return its devices: all in main memory, but strangers to each other."""
    return tuple(device._device for device in xp.__array_namespace_info__().devices())


class StrictBackend(BackendValue):
    """Arrays of the standard's own reference.

    Parameters
    ----------
    device : str
        "CPU_DEVICE", "device1" or "device2".
    dtype : str
        "float32" or "float64".
    precision : str
        The dtype's name.
    """

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
        """Return the array as NumPy's."""
        return np.asarray(array.to_device(xp.Device("CPU_DEVICE")))

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, quiet about overflow as NumPy's backend is."""
        return np.errstate(all="ignore")(function)

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Loop:
        """Return the loop that calls the function for each item."""
        return plain_loop(self.compile(function))

    def synchronize(self) -> None:
        """Return at once: the work is done when a call returns."""

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether NumPy, which is beneath, found no room."""
        return isinstance(error, MemoryError)

    def memory(self) -> Memory | None:
        """Return None, as NumPy's backend does."""
        return None
