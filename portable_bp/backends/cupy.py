"""The CuPy backend, on CUDA GPUs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from portable_bp.backends.contract import BackendUnavailableError, Memory
from portable_bp.backends.graph.loop import RecordedLoop
from portable_bp.backends.host import host_array, refuse_device, refuse_kind
from portable_bp.backends.loops import Loop
from portable_bp.backends.pickling import BaseBackend
from portable_bp.common.lookup import require

cupy = require("cupy", "cuda13", "cuda12")  # first: the error of array_api_compat.cupy is less clear

import array_api_compat.cupy as xp  # noqa: E402  cupy is not an array API namespace

from portable_bp.backends.graph.printers.cuda import CupyLibrary  # noqa: E402
from portable_bp.backends.graph.printers.cuda_block import BlockLibrary, PopulationBlockLibrary  # noqa: E402

# CuPy's precision is a global setting, and the cuBLAS handle used for capture is bound to one stream: one thread at a time.
_lock = threading.RLock()


def version() -> str:
    """Return CuPy's version."""
    return cupy.__version__


def devices() -> tuple[str, ...]:
    """Return the number of every GPU, or raise a BackendUnavailableError if none works."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendUnavailableError(
            f"CuPy is installed, but finds no GPU that works ({error}): check the driver, or use another backend."
        ) from None
    return tuple(str(number) for number in range(count))


def roundings(device: str) -> tuple[str, ...]:
    """Return the precisions other than full float32 that a GPU supports."""
    return ("tf32", "mixed") if int(cupy.cuda.Device(int(device)).compute_capability) >= 80 else ()


class CupyBackend(BaseBackend):
    """Arrays on one CUDA GPU, selected by its number.

    With ``precision="mixed"``, the products of training use bfloat16; a function that is called once uses full precision.
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
        # CuPy creates arrays on its current device, whatever the device argument says.
        with self.device:
            return cupy.asarray(data, dtype=dtype or self.dtype)

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return a copy in main memory."""
        with self.device:
            return cupy.asnumpy(array)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, run with this GPU as CuPy's current device and in the backend's precision."""
        return self._on_device(self.precision)(function)

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Loop:
        """Return the loop that records the function's calls and replays them, as one kernel or as a CUDA graph if possible."""
        # Steps that are called instead of replayed use full precision: CuPy's own products have no bfloat16.
        library, compiled = CupyLibrary(self.precision), (PopulationBlockLibrary(), BlockLibrary())
        return RecordedLoop(library, self.to_numpy, function, lambda: self._on_device("float32"), compiled)

    @contextlib.contextmanager
    def _on_device(self, precision: str) -> Iterator[None]:
        """Make this GPU CuPy's current device, and set the precision of products, for the duration of the block."""
        products = cupy._core._routines_linalg  # CuPy has no public way to set the precision of products
        wanted = products.COMPUTE_TYPE_TF32 if precision == "tf32" else products.COMPUTE_TYPE_DEFAULT
        with self.device, _lock:
            before = products.get_compute_type(self.dtype)
            products.set_compute_type(self.dtype, wanted)
            try:
                yield
            finally:
                products.set_compute_type(self.dtype, before)

    def synchronize(self) -> None:
        """Wait for the GPU."""
        self.device.synchronize()

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether this is CuPy's or cuBLAS's error for a GPU; for the host, NumPy raises its own."""
        names = ("cudaErrorMemoryAllocation", "CUBLAS_STATUS_ALLOC_FAILED")
        is_library_error = isinstance(error, RuntimeError) and any(name in str(error) for name in names)
        return is_library_error or isinstance(error, cupy.cuda.memory.OutOfMemoryError)

    def memory(self) -> Memory:
        """Return the GPU's memory, counting CuPy's cached blocks as free, within the limit of CuPy's pool."""
        with self.device:
            pool = cupy.get_default_memory_pool()
            pool.free_all_blocks()
            free, total = self.device.mem_info
            free += pool.free_bytes()
            limit = pool.get_limit()
            return Memory(min(free, limit - pool.used_bytes()), min(total, limit)) if limit else Memory(free, total)
