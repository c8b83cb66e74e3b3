"""Run a schedule as one CUDA kernel: a launch trains small networks for many steps, each in one block of threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from portable_bp.backends.graph.printers.block_source import BlockSource
from portable_bp.backends.graph.printers.calls import Executable, UnsuitedError
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.common.trees import leaves, zip_leaves

# In the matrix products of a step. For more, many blocks should be faster, although they are launched more often: an estimate.
MAX_MULTIPLICATIONS = 2**19
MAX_LENGTH = 1000  # lines of a step, such as of 20 layers


class BlockExecutable(Executable):
    """A schedule as one kernel, which its library compiles: ``library.launcher(source)`` takes a `BlockSource`."""

    def __init__(self, schedule: Schedule, library: Any, data: Any) -> None:
        if _multiplications(schedule) > MAX_MULTIPLICATIONS:
            raise UnsuitedError("its products are too large for one block")
        source = BlockSource(schedule)
        if source.memory > library.shared_memory:
            raise UnsuitedError(f"{source.memory:,} bytes do not fit into the shared memory of one block")
        if source.length > MAX_LENGTH:
            raise UnsuitedError(f"{source.length:,} lines would take too long to compile")
        self.schedule, self.library, self.buffers = schedule, library, source.buffers
        self._launch = library.launcher(source)
        self._numbers = library.to_device(np.array(source.numbers, np.float64))
        self._constants = [library.contiguous(library.to_device(node.attributes["value"])) for node in source.constants]
        self.calls = []
        self.bind(data)

    def bind(self, data: Any) -> None:
        """Take the loop's data."""
        self._data = [self.library.contiguous(array) for array in leaves(data)]

    def release(self) -> None:
        """Keep no reference to the data."""
        self._data = []

    def run(self, carry: Any, items: Any, indices: range) -> Any:
        """Return the carry after the steps for some of the items, which are nested as recorded, with one more leading axis."""
        before, given = ([self.library.contiguous(array) for array in leaves(tree)] for tree in (carry, items))
        results = [self.library.empty(array.shape, array.dtype.name) for array in leaves(carry)]
        self._launch(np.int64(len(indices)), self._numbers, *before, *results, *self._data, *given, *self._constants)
        return zip_leaves(lambda _, result: result, carry, results)


def _multiplications(schedule: Schedule) -> int:
    """Return how many multiplications the matrix products of a step make."""
    return sum(node.size * node.inputs[0].shape[-1] for node in schedule.graph.nodes if node.operation == "matmul")
