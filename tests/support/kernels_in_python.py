"""Run the fused kernels of a GPU with NumPy: the lines of a kernel are valid Python, too."""

import ctypes
import functools

import numpy as np

from portable_bp.backends.graph.ir import FLOATING, PREDICATES
from portable_bp.backends.graph.kernels import C_TYPES
from portable_bp.backends.graph.printers.gpu import FusedLibrary


def to_bfloat16(a):
    """Return the bits of float32 numbers rounded to bfloat16."""
    bits = np.asarray(a, "float32").view("uint32")
    rounded = (bits.astype("uint64") + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(a), 0x7FFF, rounded).astype("uint16")


IN_PYTHON = {
    **{name: getattr(np, {"atan": "arctan"}.get(name, name)) for name in (FLOATING | PREDICATES) - {"pow"}},
    **{name: getattr(np, name) for name in ("maximum", "minimum", "absolute", "sign", "where")},
    **{f"to_{dtype}": functools.partial(np.asarray, dtype=dtype) for dtype in C_TYPES},
    **{"pow": np.power, "to_bfloat16": to_bfloat16},
}


def take_rows(grid, block, source, indices, out, height, width, count):
    rows = np.arange(min(count, grid[0] * block[1]))
    taken = source.reshape(height, width)[indices[rows] % height]
    out.reshape(count, width)[rows] = taken if out.dtype == source.dtype else to_bfloat16(taken)


def set_address(grid, block, address, items):
    assert (grid, block) == ((1,), (1,))
    address[0] = items.ctypes.data


def next_item(grid, block, address, item, count):
    assert grid == (1,), "the blocks of a grid do not wait for each other"
    ctypes.memmove(item.ctypes.data, int(address[0]), count * item.itemsize)
    address[0] += count * item.itemsize


RAW_KERNELS = {"take_rows": take_rows, "set_address": set_address, "next_item": next_item}


class FusedOnTheHost(FusedLibrary):
    """Replays recorded steps in main memory with the same fused kernels as on a GPU."""

    library = np

    def compile_kernel(self, kernel):
        return functools.partial(run_kernel, kernel)


def run_kernel(kernel, *arrays):
    reads, writes = arrays[: len(kernel.inputs)], arrays[len(kernel.inputs) :]
    assert tuple(array.dtype for array in reads) == kernel.inputs
    assert tuple(array.dtype for array in writes) == kernel.outputs
    assert len(writes) == len(kernel.results) > 0
    # One thread reads, computes and writes an element; no other thread may write what it reads.
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    assert {array.shape for array in writes} == {shape}, "CuPy wants all outputs in the shape that all is broadcast to"
    variables = {f"in{number}": array.copy() for number, array in enumerate(reads)}
    for dtype, name, expression in kernel.lines:
        variables[name] = np.asarray(eval(expression, IN_PYTHON, variables))
        assert variables[name].dtype == dtype, f"{name} is no {dtype}: {expression}"
    for result, array in zip(kernel.results, writes, strict=True):
        array[...] = variables[result]
        for read in reads:
            in_place = read.shape == array.shape and read.__array_interface__ == array.__array_interface__
            assert in_place or not np.shares_memory(read, array), "another place is read after it was written"
