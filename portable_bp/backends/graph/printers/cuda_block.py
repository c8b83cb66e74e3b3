"""CuPy for small networks, single ones and populations: many steps in one launch of one kernel."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from portable_bp.backends.graph.members import first_member
from portable_bp.backends.graph.passes import numbers_without_axes, sums_of_sums
from portable_bp.backends.graph.printers.block import BlockExecutable
from portable_bp.backends.graph.printers.block_source import BlockSource
from portable_bp.backends.graph.printers.calls import Executable, compile_mode
from portable_bp.backends.graph.printers.cuda import CupyLibrary, warn_once
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.common.lookup import require

cupy = require("cupy", "cuda13", "cuda12")

# A kernel is used from this many steps in all, and of one batch size. It saves about 40 us a step. Compiling takes about a
# second, but CuPy caches the kernel on disk, so that later trainings of these sizes gain at once.
MIN_STEPS_IN_ALL, MIN_STEPS_OF_SHAPE = 1000, 500
# Of a population, whose steps without a kernel are no CUDA graph, since CuPy's batched products cannot be captured. A kernel
# should save some 200 us a step, an estimate.
MIN_STEPS_OF_POPULATION, MIN_STEPS_OF_ITS_SHAPE = 200, 100


class BlockLibrary(CupyLibrary):
    """CuPy, for replay by one kernel, whose products are in full precision."""

    max_fused = math.inf
    captures = False
    min_steps = MIN_STEPS_IN_ALL, MIN_STEPS_OF_SHAPE

    def __init__(self) -> None:
        super().__init__("float32")
        self.passes = (sums_of_sums,)

    @property
    def shared_memory(self) -> int:
        """The bytes that a block may use."""
        return cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]

    def pays(self, steps: float, total: float, size: int) -> bool:
        """Return whether enough steps are expected for a kernel: CuPy compiles it for new sizes, and keeps it in a file."""
        (in_all, of_shape), mode = self.min_steps, compile_mode()
        return mode == "always" or (mode == "auto" and total >= in_all and steps >= of_shape)

    def executable(self, schedule: Schedule, data: Any) -> Executable:
        """Return the schedule as one kernel."""
        return BlockExecutable(schedule, self, data)

    def launcher(self, source: BlockSource) -> Callable[..., None]:
        """Return the compiled kernel, which takes the arguments of its source."""
        kernel = _compiled(str(source), source.memory, cupy.cuda.runtime.getDevice())
        if kernel is None:
            raise TypeError("a kernel that CuPy could not compile")
        return lambda *arguments: kernel((source.blocks,), (source.threads,), arguments, shared_mem=source.memory)

    def to_device(self, array: Any) -> Any:
        """Return an array on the device."""
        return cupy.asarray(array)

    def contiguous(self, array: Any) -> Any:
        """Return an array with its numbers one after the other in memory."""
        return cupy.ascontiguousarray(array)


class PopulationBlockLibrary(BlockLibrary):
    """CuPy, for replay of the steps of a population by one kernel, a block of which trains one member."""

    min_steps = MIN_STEPS_OF_POPULATION, MIN_STEPS_OF_ITS_SHAPE

    def __init__(self) -> None:
        super().__init__()
        self.passes = (first_member, numbers_without_axes, sums_of_sums)


@functools.lru_cache(maxsize=256)
def _compiled(source: str, memory: int, device: int) -> Any:
    """Return the kernel of a source that uses so much shared memory, or None, after a warning, if it cannot be compiled.

    The device is a part of the key, since the limit of shared memory is set for each.
    """
    try:
        kernel = cupy.RawKernel(source, "run", options=("-std=c++17",))
        kernel.max_dynamic_shared_size_bytes = memory  # compiles it, too
    except Exception as error:  # the step runs as several kernels instead
        warn_once("compile a training step as one CUDA kernel, so it runs as several, which is slower", str(error))
        return None
    return kernel
