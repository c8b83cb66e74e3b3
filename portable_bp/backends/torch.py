"""PyTorch, on the CPU, on CUDA GPUs and on Apple's (mps), as an array library: without autograd."""

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

torch = require("torch", "torch")

import array_api_compat.torch as xp  # noqa: E402  torch itself is not an array API namespace

from portable_bp.backends.recorded.torch_calls import TorchLibrary  # noqa: E402  it imports torch itself


def version() -> str:
    """Return PyTorch's version."""
    return torch.__version__


def devices() -> tuple[str, ...]:
    """Return every device that PyTorch can use, the CPU first; "meta" holds shapes and no numbers."""
    gpus = tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
    return ("cpu", *gpus, *(("mps:0",) if torch.backends.mps.is_available() else ()), "meta")


def roundings(device: str) -> tuple[str, ...]:
    """Return the precisions besides full float32 that a device has: "tf32" on a CUDA GPU.

    Parameters
    ----------
    device : str
        As PyTorch names it.
    """
    return ("tf32",) if device.startswith("cuda") and hasattr(torch.backends.cuda.matmul, "fp32_precision") else ()


class TorchBackend(BackendValue):
    """Tensors on one device.

    Parameters
    ----------
    device : str
        As PyTorch names it ("cpu", "cuda:0", "mps:0"); "meta" runs shapes alone.
    dtype : str
        "float32" or "float64".
    precision : str
        The dtype's name, or one of `roundings`.
    """

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
            raise BackendUnavailableError("PyTorch's meta device holds shapes and no numbers: take another device.")
        return array.detach().cpu().numpy()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself, as PyTorch runs it as it stands; on a CUDA GPU in the backend's precision."""
        return self._rounded()(function) if self.device.type == "cuda" else function

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Loop:
        """Return the loop that records the function's calls and plays them."""
        context = self._rounded if self.device.type == "cuda" else contextlib.nullcontext
        return recorded_loop(TorchLibrary(self.device), self.to_numpy, function, context)

    @contextlib.contextmanager
    def _rounded(self) -> Iterator[None]:
        """Let products be of the backend's precision meanwhile; PyTorch has one switch for the whole process."""
        products = torch.backends.cuda.matmul
        if not hasattr(products, "fp32_precision"):  # before PyTorch 2.9, which has no way to say it of products alone
            yield
            return
        before = products.fp32_precision
        products.fp32_precision = "tf32" if self.precision == "tf32" else "ieee"
        try:
            yield
        finally:
            products.fp32_precision = before

    def synchronize(self) -> None:
        """Wait for the GPU, where there is one."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether PyTorch found no room, which it has no error of its own for on a CPU."""
        said = ("out of memory", "can't allocate memory")
        return isinstance(error, RuntimeError) and any(words in str(error) for words in said)

    def memory(self) -> Memory | None:
        """Return what a CUDA GPU has, with what PyTorch keeps of it unused; None elsewhere."""
        if self.device.type != "cuda":
            return None
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(self.device)
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return Memory(free + unused, total)
