"""CuPy, on CUDA GPUs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from portable_bp.backends.contract import BackendUnavailableError
from portable_bp.backends.host import host_array, refuse_device, refuse_kind
from portable_bp.backends.loops import Loop, plain_loop
from portable_bp.extras import require

cupy = require("cupy", "cuda13", "cuda12")  # array_api_compat.cupy would say less clearly what is missing

import array_api_compat.cupy as xp  # noqa: E402  the namespace of CuPy's arrays; cupy itself is not one


def version() -> str:
    """Return CuPy's version."""
    return cupy.__version__


def devices() -> tuple[str, ...]:
    """Return the number of every GPU that answers.

    Raises
    ------
    BackendUnavailableError
        If none does.
    """
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendUnavailableError(f"CuPy is installed, but no GPU answers it ({error}).") from None
    return tuple(str(number) for number in range(count))


class CupyBackend:
    """Arrays on one CUDA GPU.

    Parameters
    ----------
    device : str
        The GPU's number.
    dtype : str
        "float32" or "float64".
    """

    name = "cupy"
    xp = xp

    def __init__(self, device: str, dtype: str) -> None:
        self.device = cupy.cuda.Device(int(device))
        self.dtype = np.dtype(dtype)

    def asarray(self, data: Any, dtype: str | None = None) -> Any:
        """Return data as an array on this GPU."""
        if isinstance(data, cupy.ndarray):
            refuse_device(data.device, self.device)
            refuse_kind(xp, data.dtype, dtype)
        else:
            data = host_array(data, dtype or self.dtype.name, self.name)
        # CuPy makes arrays on its current device, whatever device an array API call names.
        with self.device:
            return cupy.asarray(data, dtype=dtype or self.dtype)

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return a copy in main memory."""
        return cupy.asnumpy(array)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, run with this GPU as CuPy's current device."""

        @functools.wraps(function)
        def placed(*arguments: Any) -> Any:
            with self.device:
                return function(*arguments)

        return placed

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Loop:
        """Return the loop that calls the function for each item."""
        return plain_loop(self.compile(function))

    def synchronize(self) -> None:
        """Wait for the GPU."""
        self.device.synchronize()
