"""Kernels of our own that copy rows on a GPU, at the speed of its memory."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from portable_bp.backends.graph.printers.calls import Call
from portable_bp.common.lookup import require

cupy = require("cupy", "cuda13", "cuda12")

WORDS = {16: "uint4", 8: "uint2", 4: "unsigned int", 2: "unsigned short", 1: "unsigned char"}  # by their bytes
INDICES = {"int32": "int", "int64": "long long"}
BLOCK = 256  # threads

# A block copies some rows, each by the threads of one ``threadIdx.y``. Row numbers out of range wrap, as in `cupy.take`.
TAKE_ROWS = """
extern "C" __global__ void take_rows(
    const Word* __restrict__ source, const Index* __restrict__ numbers, Word* __restrict__ out,
    long long height, int width, int count
) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= count) return;
    long long number = numbers[row];
    if (number < 0 || number >= height) number = (number % height + height) % height;
    for (int column = threadIdx.x; column < width; column += blockDim.x)
        out[row * width + column] = source[number * width + column];
}
"""


def take_rows(source: Any, numbers: Any, out: Any) -> Call:
    """Return a call that copies the rows with some numbers; raise a TypeError for arrays that it does not take."""
    if not (source.flags.c_contiguous and numbers.flags.c_contiguous and out.flags.c_contiguous):
        raise TypeError("arrays that are not contiguous")
    if numbers.dtype.name not in INDICES:
        raise TypeError("row numbers of another dtype")
    row = math.prod(source.shape[1:]) * source.dtype.itemsize
    size = _word_size(row, source, out)
    width, count = row // size, numbers.size
    columns = min(BLOCK, 1 << max(0, width - 1).bit_length())  # threads for a row, a power of two
    rows = BLOCK // columns
    kernel = _kernel("take_rows", TAKE_ROWS, WORDS[size], INDICES[numbers.dtype.name])
    operands = source, numbers, out, np.int64(source.shape[0]), np.int32(width), np.int32(count)
    return kernel, ((math.ceil(count / rows),), (columns, rows), operands)


def _word_size(size: int, *arrays: Any) -> int:
    """Return the bytes of the largest word that divides a size, and by which arrays are aligned."""
    return next(word for word in WORDS if not any(each % word for each in (size, *(array.data.ptr for array in arrays))))


@functools.cache
def _kernel(name: str, code: str, word: str, index: str) -> Any:
    return cupy.RawKernel(f"typedef {word} Word;\ntypedef {index} Index;\n{code}", name)
