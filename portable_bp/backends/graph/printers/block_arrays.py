"""The arrays of a block's program: what stands for them while it is printed, which accesses conflict, and where a number is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from portable_bp.backends.graph.ir import Node
from portable_bp.backends.graph.kernels import C_TYPES
from portable_bp.backends.graph.printers.numpy import NumpyLibrary
from portable_bp.backends.graph.printers.program import address_of


class Access(NamedTuple):
    """What a stage reads or writes between two barriers."""

    array: np.ndarray
    writes: bool
    flat: bool  # whether the number at place i of the array is touched only by thread i % threads

    def conflicts(self, other: Access) -> bool:
        """Return whether two threads may touch the same number, one of them to write it."""
        if not (self.writes or other.writes) or not np.may_share_memory(self.array, other.array):
            return False
        return not (self.flat and other.flat and address_of(self.array) == address_of(other.array))


class Layout(NumpyLibrary):
    """Makes NumPy arrays that stand for those on the device: only their shapes, strides and places count."""

    def __init__(self) -> None:
        self.allocated: list[np.ndarray] = []

    def empty(self, shape: Sequence[int], dtype: str) -> np.ndarray:
        """Return a new array."""
        self.allocated.append(np.empty(shape, dtype))
        return self.allocated[-1]

    def as_array(self, node: Node) -> np.ndarray:
        """Return what stands for a constant."""
        return stand_in(node.shape, node.dtype)


def stand_in(shape: Sequence[int], dtype: str) -> np.ndarray:
    """Return an array that takes no memory, however large it says that it is, with the strides of a contiguous one."""
    strides = [math.prod(shape[axis + 1 :]) * np.dtype(dtype).itemsize for axis in range(len(shape))]
    return np.lib.stride_tricks.as_strided(np.zeros((), dtype), shape, strides)


def c_type(array: np.ndarray) -> str:
    """Return the C++ type of an array's numbers."""
    return C_TYPES[array.dtype.name]


def is_flat(array: np.ndarray, shape: Sequence[int]) -> bool:
    """Return whether the number at index i of a shape is the array's i-th in memory."""
    return array.shape == tuple(shape) and array.flags.c_contiguous


def index_text(strides: Sequence[int], shape: Sequence[int], within: int = 1, index: str = "i") -> str:
    """Return the expression of a place, given strides in numbers and an index into a shape, each of ``within`` numbers."""
    terms = []
    for axis, (stride, length) in enumerate(zip(strides, shape, strict=True)):
        if stride and length > 1:
            after = math.prod(shape[axis + 1 :]) * within
            digit = (f" / {after}" if after > 1 else "") + (f" % {length}" if axis else "")
            terms.append((f"{index}{digit}" if digit else index) + (f" * {stride}" if stride != 1 else ""))
    return " + ".join(terms) or "0"
