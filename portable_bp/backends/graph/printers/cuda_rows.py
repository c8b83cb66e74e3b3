"""CUDA kernels that copy the rows of a batch, and the items of a step."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from portable_bp.backends.graph.kernels import TO_BFLOAT16
from portable_bp.backends.graph.printers.calls import Call
from portable_bp.common.lookup import require

cupy = require("cupy", "cuda13", "cuda12")

WORDS = {16: "uint4", 8: "uint2", 4: "unsigned int", 2: "unsigned short", 1: "unsigned char"}  # by their bytes
INDICES = {"int32": "int", "int64": "long long"}
BLOCK, MAX_THREADS = 256, 1024  # threads of a block
MAX_ITEM_SIZE = 2**16  # bytes that one block copies in a few microseconds

# The threads of one ``threadIdx.y`` copy a row, in words as wide as its length and alignment allow: `cupy.take`, which copies
# number by number, takes more than twice as long. Row numbers out of range wrap, as in `cupy.take`.
TAKE_ROWS = """
extern "C" __global__ void take_rows(
    const Word* __restrict__ source, const Index* __restrict__ numbers, Out* __restrict__ out,
    long long height, int width, int count
) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= count) return;
    long long number = numbers[row];
    if (number < 0 || number >= height) number = (number % height + height) % height;
    for (int column = threadIdx.x; column < width; column += blockDim.x)
        out[row * width + column] = CONVERT(source[number * width + column]);
}
"""

# `place` holds the address of the next item. Only one block is launched, so that no thread reads the address after it changed.
NEXT_ITEM = """
extern "C" __global__ void set_place(const Word** place, const Word* items) { *place = items; }

extern "C" __global__ void next_item(const Word** place, Word* item, int count) {
    const Word* next = *place;
    for (int i = threadIdx.x; i < count; i += blockDim.x) item[i] = next[i];
    __syncthreads();
    if (threadIdx.x == 0) *place = next + count;
}
"""


def take_rows(source: Any, numbers: Any, out: Any) -> Call:
    """Return a call that copies the rows with some numbers, and may round them; raise a TypeError for arrays of other kinds."""
    if not (source.flags.c_contiguous and numbers.flags.c_contiguous and out.flags.c_contiguous):
        raise TypeError("arrays that are not contiguous")
    if numbers.dtype.name not in INDICES:
        raise TypeError("row numbers of another dtype")
    is_rounded = out.dtype != source.dtype
    if is_rounded and (source.dtype, out.dtype) != ("float32", "uint16"):
        raise TypeError("rows that are converted to another dtype than bfloat16")
    row = math.prod(source.shape[1:]) * source.dtype.itemsize
    size = source.dtype.itemsize if is_rounded else _word_size(row, source, out)
    width, count = row // size, numbers.size
    columns = min(BLOCK, 1 << max(0, width - 1).bit_length())  # threads for a row, a power of two
    rows = BLOCK // columns
    kernel = _kernel("take_rows", TAKE_ROWS, "float" if is_rounded else WORDS[size], INDICES[numbers.dtype.name])
    operands = source, numbers, out, np.int64(source.shape[0]), np.int32(width), np.int32(count)
    return kernel, ((math.ceil(count / rows),), (columns, rows), operands)


def _word_size(size: int, *arrays: Any) -> int:
    """Return the bytes of the largest word that divides a size and the addresses of arrays."""
    return next(word for word in WORDS if not any(each % word for each in (size, *(array.data.ptr for array in arrays))))


class ItemReader:
    """Copies the item of the next step into its array, each time it is called.

    A CUDA graph repeats the same call, so the address of the next item is in the device's memory.
    """

    def __init__(self, item: Any) -> None:
        self.item = item
        self._place, self._items = cupy.empty(1, "int64"), item
        word = WORDS[item.dtype.itemsize]
        self._set_place, self._next_item = (_kernel(name, NEXT_ITEM, word) for name in ("set_place", "next_item"))

    @staticmethod
    def takes(item: Any) -> bool:
        """Return whether a reader copies such an item."""
        return item.nbytes <= MAX_ITEM_SIZE and item.dtype.itemsize in WORDS

    def begin(self, items: Any) -> None:
        """Take the items of some steps, along the first axis."""
        self._items = cupy.ascontiguousarray(items)  # kept until the next ones are given
        self._set_place((1,), (1,), (self._place, self._items))

    def __call__(self) -> None:
        """Copy the next item, on the current stream."""
        self._next_item((1,), (MAX_THREADS,), (self._place, self.item, np.int32(self.item.size)))


@functools.cache
def _kernel(name: str, code: str, word: str, index: str = "int") -> Any:
    return cupy.RawKernel(with_types(code, word, index), name)


def with_types(code: str, word: str, index: str) -> str:
    """Return the source for words of a type: those of type float are rounded to bfloat16."""
    is_rounded = word == "float"
    types = {"Word": word, "Index": index, "Out": "unsigned short" if is_rounded else word}
    lines = [f"typedef {known} {name};" for name, known in types.items()]
    return "\n".join([TO_BFLOAT16, *lines, f"#define CONVERT {'to_bfloat16' * is_rounded}", code])
