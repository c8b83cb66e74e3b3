"""NumPy, on the CPU: the default, and what everything else is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from portable_bp.backends.contract import Memory
from portable_bp.backends.host import host_array
from portable_bp.backends.loops import Loop
from portable_bp.backends.recorded.numpy_calls import NumpyLibrary
from portable_bp.backends.recorded.player import recorded_loop
from portable_bp.backends.values import BackendValue


def version() -> str:
    """Return NumPy's version."""
    return np.__version__


def devices() -> tuple[str, ...]:
    """Return the one device."""
    return ("cpu",)


class NumpyBackend(BackendValue):
    """Arrays in main memory.

    Parameters
    ----------
    device : str
        Always "cpu".
    dtype : str
        "float32" or "float64".
    precision : str
        The dtype's name.
    """

    name = "numpy"
    xp = xp

    def __init__(self, device: str, dtype: str, precision: str) -> None:
        self.device = device
        self.dtype = np.dtype(dtype)
        self.precision = precision

    def asarray(self, data: Any, dtype: str | None = None) -> np.ndarray:
        """Return data as an array, itself where it is one of the right dtype."""
        return host_array(data, dtype or self.dtype.name, self.name)

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return the array itself."""
        return np.asarray(array)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, quiet about overflow as the other libraries are: training looks for it itself."""
        return np.errstate(all="ignore")(function)

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Loop:
        """Return the loop that records the function's calls and plays them."""
        return recorded_loop(NumpyLibrary(), self.to_numpy, function, lambda: np.errstate(all="ignore"))

    def synchronize(self) -> None:
        """Return at once: NumPy is done when it returns."""

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether NumPy found no room."""
        return isinstance(error, MemoryError)

    def memory(self) -> Memory | None:
        """Return None: what an operating system would still give is not known before it is asked."""
        return None
