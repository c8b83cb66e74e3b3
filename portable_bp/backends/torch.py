"""The PyTorch backend, on the CPU, CUDA GPUs and Apple GPUs (mps); autograd is not used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from portable_bp.backends.contract import BackendUnavailableError, Memory
from portable_bp.backends.graph.loop import RecordedLoop
from portable_bp.backends.host import host_array, refuse_device, refuse_kind
from portable_bp.backends.loops import Loop
from portable_bp.backends.pickling import BaseBackend
from portable_bp.common.lookup import require

torch = require("torch", "torch")

import array_api_compat.torch as xp  # noqa: E402  torch is not an array API namespace

from portable_bp.backends.graph.printers.torch import TorchLibrary  # noqa: E402  it imports torch itself


def version() -> str:
    """Return PyTorch's version."""
    return torch.__version__


def devices() -> tuple[str, ...]:
    """Return every device that PyTorch can use, the CPU first; "meta" holds only shapes."""
    gpus = tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
    return ("cpu", *gpus, *(("mps:0",) if torch.backends.mps.is_available() else ()), "meta")


def roundings(device: str) -> tuple[str, ...]:
    """Return the precisions other than full float32 that a device supports: "tf32" on a CUDA GPU."""
    return ("tf32",) if device.startswith("cuda") and hasattr(torch.backends.cuda.matmul, "fp32_precision") else ()


class TorchBackend(BaseBackend):
    """Tensors on one device, named as in PyTorch: "cpu", "cuda:0", "mps:0", "meta"."""

    name = "torch"
    xp = xp

    def __init__(self, device: str, dtype: str, precision: str) -> None:
        self.device = torch.device(device)
        self.dtype = getattr(torch, dtype)
        self.precision = precision
        if self.device.type == "mps" and dtype == "float64":
            raise BackendUnavailableError("PyTorch's mps device has no float64: use dtype='float32', or another device.")

    def asarray(self, data: Any, dtype: str | None = None) -> Any:
        """Return data as a tensor on this device, outside any autograd graph."""
        wanted = getattr(torch, dtype) if dtype else self.dtype
        if isinstance(data, torch.Tensor):
            refuse_device(data.device, self.device)
            refuse_kind(xp, data.dtype, dtype)
            return data.detach().to(wanted)
        # torch.tensor copies, which a read-only NumPy array needs.
        return torch.tensor(host_array(data, dtype or str(self.dtype).removeprefix("torch."), self.name), device=self.device)

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return the tensor in main memory."""
        if array.device.type == "meta":
            raise BackendUnavailableError("PyTorch's meta device holds only shapes, no numbers: use another device.")
        return array.detach().cpu().numpy()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself; on a CUDA GPU, run in the backend's precision."""
        return self._with_precision()(function) if self.device.type == "cuda" else function

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Loop:
        """Return the loop that records the function's calls and replays them."""
        context = self._with_precision if self.device.type == "cuda" else contextlib.nullcontext
        return RecordedLoop(TorchLibrary(self.device), self.to_numpy, function, context)

    @contextlib.contextmanager
    def _with_precision(self) -> Iterator[None]:
        """Set the precision of matrix products, a switch of the whole process, for the duration of the block."""
        products = torch.backends.cuda.matmul
        if not hasattr(products, "fp32_precision"):  # PyTorch before 2.9 has no such switch for products alone
            yield
            return
        before = products.fp32_precision
        products.fp32_precision = "tf32" if self.precision == "tf32" else "ieee"
        try:
            yield
        finally:
            products.fp32_precision = before

    def synchronize(self) -> None:
        """Wait for the GPU, if the device is one."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether this is PyTorch's error for it; on a CPU it is recognized by its message."""
        messages = ("out of memory", "can't allocate memory")
        return isinstance(error, RuntimeError) and any(message in str(error) for message in messages)

    def memory(self) -> Memory | None:
        """Return the memory of a CUDA GPU, counting PyTorch's cached blocks as free; None for other devices."""
        if self.device.type != "cuda":
            return None
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(self.device)
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return Memory(free + unused, total)
