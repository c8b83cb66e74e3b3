"""CuPy, on CUDA GPUs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from portable_bp.backends.contract import BackendUnavailableError, Memory
from portable_bp.backends.host import host_array, refuse_device, refuse_kind
from portable_bp.backends.loops import Loop
from portable_bp.backends.recorded.player import recorded_loop
from portable_bp.backends.values import BackendValue
from portable_bp.common.lookup import require

cupy = require("cupy", "cuda13", "cuda12")  # array_api_compat.cupy would say less clearly what is missing

import array_api_compat.cupy as xp  # noqa: E402  the namespace of CuPy's arrays; cupy itself is not one

from portable_bp.backends.recorded.cupy_calls import CupyLibrary  # noqa: E402


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


def roundings(device: str) -> tuple[str, ...]:
    """Return the precisions besides full float32 that a GPU has.

    Parameters
    ----------
    device : str
        The GPU's number.
    """
    return ("tf32", "mixed") if int(cupy.cuda.Device(int(device)).compute_capability) >= 80 else ()


class CupyBackend(BackendValue):
    """Arrays on one CUDA GPU.

    With ``precision="mixed"`` the products of training are bfloat16's; where a function is called once, they are exact.

    Parameters
    ----------
    device : str
        The GPU's number.
    dtype : str
        "float32" or "float64".
    precision : str
        The dtype's name, or one of `roundings`.
    """

    name = "cupy"
    xp = xp

    def __init__(self, device: str, dtype: str, precision: str) -> None:
        self.device = cupy.cuda.Device(int(device))
        self.dtype = np.dtype(dtype)
        self.precision = precision

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
        with self.device:
            return cupy.asnumpy(array)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, run with this GPU as CuPy's current device, and in the backend's precision."""
        return self._placed(self.precision)(function)

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Loop:
        """Return the loop that records the function's calls and plays them, fused, and as a CUDA graph where it can."""
        # Steps that are called and not played are exact: CuPy's own products know no bfloat16.
        return recorded_loop(CupyLibrary(self.precision), self.to_numpy, function, lambda: self._placed("float32"))

    @contextlib.contextmanager
    def _placed(self, precision: str) -> Iterator[None]:
        """Let this GPU be CuPy's current device meanwhile, and its products be of a precision."""
        products = cupy._core._routines_linalg  # CuPy has no public name for how they are computed
        before = products.get_compute_type(self.dtype)
        wanted = products.COMPUTE_TYPE_TF32 if precision == "tf32" else products.COMPUTE_TYPE_DEFAULT
        with self.device:
            products.set_compute_type(self.dtype, wanted)
            try:
                yield
            finally:
                products.set_compute_type(self.dtype, before)

    def synchronize(self) -> None:
        """Wait for the GPU."""
        self.device.synchronize()

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether CuPy found no room on a GPU; where it is the host that has none, NumPy says so."""
        said = ("cudaErrorMemoryAllocation", "CUBLAS_STATUS_ALLOC_FAILED")
        told = isinstance(error, RuntimeError) and any(name in str(error) for name in said)
        return told or isinstance(error, cupy.cuda.memory.OutOfMemoryError)

    def memory(self) -> Memory:
        """Return what the GPU has, with what CuPy's pool keeps of it unused, up to the pool's limit where it has one."""
        with self.device:
            pool = cupy.get_default_memory_pool()
            pool.free_all_blocks()
            free, total = self.device.mem_info
            free += pool.free_bytes()
            limit = pool.get_limit()
            return Memory(min(free, limit - pool.used_bytes()), min(total, limit)) if limit else Memory(free, total)
