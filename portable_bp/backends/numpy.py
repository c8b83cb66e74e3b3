"""The NumPy backend, on the CPU: the default, and the reference that the others are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from portable_bp.backends.contract import Memory
from portable_bp.backends.graph.loop import RecordedLoop
from portable_bp.backends.graph.printers.numba import CompiledLibrary
from portable_bp.backends.graph.printers.numpy import NumpyLibrary
from portable_bp.backends.graph.printers.population import PopulationLibrary
from portable_bp.backends.host import host_array
from portable_bp.backends.loops import Loop
from portable_bp.backends.pickling import BaseBackend


def version() -> str:
    """Return NumPy's version."""
    return np.__version__


def devices() -> tuple[str, ...]:
    """Return the only device."""
    return ("cpu",)


class NumpyBackend(BaseBackend):
    """Arrays in main memory."""

    name = "numpy"
    xp = xp

    def __init__(self, device: str, dtype: str, precision: str) -> None:
        self.device = device
        self.dtype = np.dtype(dtype)
        self._dtype_name = dtype  # NumPy takes longer to name a dtype than to check an array
        self.precision = precision

    def asarray(self, data: Any, dtype: str | None = None) -> np.ndarray:
        """Return data as an array: itself if it is one of the dtype."""
        return host_array(data, dtype or self._dtype_name, self.name)

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return the array itself."""
        return np.asarray(array)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function without NumPy's warnings of overflow: training checks for it."""
        return np.errstate(all="ignore")(function)

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Loop:
        """Return the loop that records the function's calls and replays them."""
        compiled = PopulationLibrary(), CompiledLibrary()
        return RecordedLoop(NumpyLibrary(), self.to_numpy, function, lambda: np.errstate(all="ignore"), compiled)

    def synchronize(self) -> None:
        """Return immediately: a NumPy call returns when it is done."""

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether this is NumPy's error for it."""
        return isinstance(error, MemoryError)

    def memory(self) -> Memory | None:
        """Return None: how much memory the operating system would still provide is unknown."""
        return None
