"""A library like NumPy on a GPU: elementwise operations as fused kernels, the others as its own calls."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from portable_bp.backends.graph.buffers import Instruction
from portable_bp.backends.graph.ir import Node
from portable_bp.backends.graph.kernels import STORED_AS, write_kernel
from portable_bp.backends.graph.printers.calls import Call
from portable_bp.backends.graph.printers.numpy import NumpyLibrary


class FusedLibrary(NumpyLibrary):
    """What a library like NumPy on a GPU needs so that a graph can run on it; subclasses compile the kernels."""

    max_fused = 32  # a kernel's arguments take up to some 4 KB, and an operation may add some
    passes = ()
    compile_kernel: Any  # ``compile_kernel(kernel)`` returns a function of the arrays that it reads, then those that it writes

    def as_array(self, node: Node) -> Any:
        """Return a number as a NumPy number, which a kernel takes as an argument, and another constant as an array."""
        value = node.attributes["value"]
        is_on_host = isinstance(value, np.ndarray | np.generic)
        return np.asarray(value)[()] if is_on_host and not node.shape else self.library.asarray(value)

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        """Return a new array of the library, for the bits of numbers if it lacks their dtype."""
        return super().empty(shape, STORED_AS.get(dtype, dtype))

    def emit_fused(self, instructions: list[Instruction]) -> Call:
        """Return the one kernel that does what all instructions do."""
        kernel, arrays = write_kernel(instructions)
        return self.compile_kernel(kernel), arrays

    def emit(self, instruction: Instruction) -> Call:
        """Return a call of the library's function of an operation that is not elementwise."""
        node, operands, out = instruction
        if node.operation == "concat":
            return functools.partial(self.library.concatenate, **node.attributes, out=out), (operands,)
        return functools.partial(getattr(self.library, node.operation), **node.attributes, out=out), operands
