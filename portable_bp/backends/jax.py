"""The JAX backend, on the CPU and GPUs, with every function compiled by ``jax.jit``."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from portable_bp.backends.contract import Memory
from portable_bp.backends.host import host_array, refuse_device, refuse_kind
from portable_bp.backends.loops import Loop, is_fixed, plain_loop
from portable_bp.backends.pickling import BaseBackend
from portable_bp.common.lookup import require

jax = require("jax", "jax")

import jax.numpy as xp  # noqa: E402  after require, whose error says how to install it


def version() -> str:
    """Return JAX's version."""
    return jax.__version__


def devices() -> tuple[str, ...]:
    """Return every device that JAX can use, its default first."""
    found = jax.devices()
    with contextlib.suppress(RuntimeError):  # JAX_PLATFORMS may exclude the CPU
        found += [device for device in jax.devices("cpu") if device not in found]
    return tuple(f"{device.platform}:{device.id}" for device in found)


# JAX's names of precisions. Without one, it uses TF32 for float32 on a GPU.
PRECISIONS = {"float32": "highest", "float64": "highest", "tf32": "TF32_TF32_F32", "mixed": "BF16_BF16_F32"}


def roundings(device: str) -> tuple[str, ...]:
    """Return the precisions other than full float32 that a device supports: "tf32" and "mixed" on a GPU."""
    return ("tf32", "mixed") if device.startswith("gpu") else ()


class JaxBackend(BaseBackend):
    """Arrays on one of JAX's devices, named by its platform and number, as in "cpu:0".

    ``dtype="float64"`` turns on ``jax_enable_x64``, a switch of the whole process: otherwise JAX would silently use float32.
    """

    name = "jax"
    xp = xp

    def __init__(self, device: str, dtype: str, precision: str) -> None:
        platform, _, number = device.partition(":")
        self.device = next(found for found in jax.devices(platform) if found.id == int(number or found.id))
        self.dtype = np.dtype(dtype)
        self.precision = precision
        self._allow_float64()

    def asarray(self, data: Any, dtype: str | None = None) -> Any:
        """Return data as an array on this device."""
        wanted = dtype or self.dtype.name
        self._allow_float64()
        if isinstance(data, jax.Array):
            refuse_device(data.device, self.device)
            refuse_kind(xp, data.dtype, dtype)
            return data.astype(wanted)
        return jax.device_put(host_array(data, wanted, self.name), self.device)

    def _allow_float64(self) -> None:
        if self.dtype == np.float64 and not jax.config.jax_enable_x64:
            jax.config.update("jax_enable_x64", True)

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return the array in main memory, waiting until it is computed."""
        return np.asarray(array)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, compiled for each combination of shapes; not with a user's own pieces, which may change."""
        may_change = isinstance(function, functools.partial) and not is_fixed(function)
        computed = self._with_precision(function)
        return computed if may_change else jax.jit(computed)

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Loop:
        """Return the loop compiled whole by ``jax.lax.scan``, or step by step if the carry changes its type.

        With a user's own pieces, which may have changed, each call of the loop compiles anew.
        """
        compiled = self._compiled_loop(function) if is_fixed(function) else None

        def loop(constants: Any) -> Callable[..., Any]:
            scan, step_by_step = compiled or self._compiled_loop(functools.partial(function))

            def run(carry: Any, items: Any, steps: int, expected: float = 1, total: float = 1) -> Any:
                try:
                    return scan(constants, carry, items, steps=steps)
                except TypeError:
                    return step_by_step(constants)(carry, items, steps)

            return run

        return loop

    def _compiled_loop(self, function: Callable[[Any, Any, Any], Any]) -> tuple[Callable[..., Any], Loop]:
        """Return the loop as one function, and step by step."""
        function = self._with_precision(function)

        @functools.partial(jax.jit, static_argnames="steps")
        def scan(constants: Any, carry: Any, items: Any, steps: int) -> Any:
            return jax.lax.scan(lambda carry, item: (function(carry, constants, item), None), carry, items, length=steps)[0]

        return scan, plain_loop(jax.jit(function))

    def _with_precision(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, traced in the backend's precision; a CPU has only full precision."""
        if self.device.platform == "cpu":
            return function

        @functools.wraps(function)
        def rounded(*arguments: Any) -> Any:
            with jax.default_matmul_precision(PRECISIONS[self.precision]):
                return function(*arguments)

        return rounded

    def synchronize(self) -> None:
        """Wait until all arrays are computed."""
        jax.block_until_ready(jax.live_arrays())

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether this is XLA's error for it."""
        return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)

    def memory(self) -> Memory | None:
        """Return a GPU's memory; None on a CPU."""
        stats = self.device.memory_stats() or {}
        if not {"bytes_limit", "bytes_in_use"} <= set(stats):
            return None
        return Memory(max(0, stats["bytes_limit"] - stats["bytes_in_use"]), stats["bytes_limit"])
