"""The BLAS that NumPy brings, called from compiled code by the addresses of its functions."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from pathlib import Path

import numpy as np


@functools.cache
def product_address(dtype: str) -> int:
    """Return the address of the matrix product of a dtype (``cblas_?gemm`` with 64-bit integers), or 0 if it is not found."""
    name = {"float32": "scipy_cblas_sgemm64_", "float64": "scipy_cblas_dgemm64_"}.get(dtype, "")
    folder = Path(np.__file__).parent
    for library in [*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]:
        with contextlib.suppress(OSError, AttributeError):
            return ctypes.cast(getattr(ctypes.CDLL(str(library)), name), ctypes.c_void_p).value or 0
    return 0
