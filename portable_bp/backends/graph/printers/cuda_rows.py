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

# C++ types by size in bytes, the widest first: ``_word_size`` relies on it.
WORDS = {16: "uint4", 8: "uint2", 4: "unsigned int", 2: "unsigned short", 1: "unsigned char"}
INDEX_TYPES = {"int32": "int", "int64": "long long"}
TAKE_THREADS, COPY_THREADS = 256, 1024  # of a block
MAX_ITEM_SIZE = 2**16  # bytes; one block copies an item, and would be slow at larger ones

# The threads of one ``threadIdx.y`` copy a row, in words as wide as its length and alignment allow: `cupy.take`, which copies
# number by number, takes more than twice as long. Row indices out of range wrap, as in `cupy.take`.
TAKE_ROWS = """
extern "C" __global__ void take_rows(
    const Word* __restrict__ source, const Index* __restrict__ indices, Out* __restrict__ out,
    long long height, int width, int count
) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= count) return;
    long long index = indices[row];
    if (index < 0 || index >= height) index = (index % height + height) % height;
    for (int column = threadIdx.x; column < width; column += blockDim.x)
        out[row * width + column] = CONVERT(source[index * width + column]);
}
"""

# `address` holds the address of the next item. One block is launched, so that no thread reads it after it has changed.
NEXT_ITEM = """
extern "C" __global__ void set_address(const Word** address, const Word* items) { *address = items; }

extern "C" __global__ void next_item(const Word** address, Word* item, int count) {
    const Word* next = *address;
    for (int i = threadIdx.x; i < count; i += blockDim.x) item[i] = next[i];
    __syncthreads();
    if (threadIdx.x == 0) *address = next + count;
}
"""


def take_rows(source: Any, indices: Any, out: Any) -> Call:
    """Return a call that copies the rows at some indices, and may round them; raise a TypeError for arrays of other kinds."""
    if not (source.flags.c_contiguous and indices.flags.c_contiguous and out.flags.c_contiguous):
        raise TypeError("arrays that are not contiguous")
    if indices.dtype.name not in INDEX_TYPES:
        raise TypeError("row indices of another dtype")
    is_rounded = out.dtype != source.dtype
    if is_rounded and (source.dtype, out.dtype) != ("float32", "uint16"):
        raise TypeError("rows that are converted to another dtype than bfloat16")
    row_bytes = math.prod(source.shape[1:]) * source.dtype.itemsize
    size = source.dtype.itemsize if is_rounded else _word_size(row_bytes, source, out)
    width, count = row_bytes // size, indices.size
    threads_per_row = min(TAKE_THREADS, 1 << max(0, width - 1).bit_length())  # a power of two
    rows_per_block = TAKE_THREADS // threads_per_row
    kernel = _kernel("take_rows", TAKE_ROWS, "float" if is_rounded else WORDS[size], INDEX_TYPES[indices.dtype.name])
    operands = source, indices, out, np.int64(source.shape[0]), np.int32(width), np.int32(count)
    return kernel, ((math.ceil(count / rows_per_block),), (threads_per_row, rows_per_block), operands)


def _word_size(size: int, *arrays: Any) -> int:
    """Return the bytes of the largest word that divides a size and the addresses of arrays."""
    return next(word for word in WORDS if not any(each % word for each in (size, *(array.data.ptr for array in arrays))))


class ItemReader:
    """Copies the item of the next step into its array, each time it is called.

    A CUDA graph repeats the same call, so the address of the next item is in the device's memory.
    """

    def __init__(self, item: Any) -> None:
        self.item = item
        self._address, self._items = cupy.empty(1, "int64"), item
        word = WORDS[item.dtype.itemsize]
        self._set_address, self._next_item = (_kernel(name, NEXT_ITEM, word) for name in ("set_address", "next_item"))

    @staticmethod
    def takes(item: Any) -> bool:
        """Return whether a reader copies such an item."""
        return item.nbytes <= MAX_ITEM_SIZE and item.dtype.itemsize in WORDS

    def begin(self, items: Any) -> None:
        """Take the items of some steps, along the first axis."""
        self._items = cupy.ascontiguousarray(items)  # kept until the next ones are given
        self._set_address((1,), (1,), (self._address, self._items))

    def __call__(self) -> None:
        """Copy the next item, on the current stream."""
        self._next_item((1,), (COPY_THREADS,), (self._address, self.item, np.int32(self.item.size)))


@functools.cache
def _kernel(name: str, code: str, word: str, index: str = "int") -> Any:
    return cupy.RawKernel(with_types(code, word, index), name)


def with_types(code: str, word: str, index: str) -> str:
    """Return the source for words of a type: those of type float are rounded to bfloat16."""
    is_rounded = word == "float"
    types = {"Word": word, "Index": index, "Out": "unsigned short" if is_rounded else word}
    lines = [f"typedef {known} {name};" for name, known in types.items()]
    return "\n".join([TO_BFLOAT16, *lines, f"#define CONVERT {'to_bfloat16' * is_rounded}", code])
