"""Convert what a user gives to arrays, with error messages that name the refused argument."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array

from portable_bp.algorithm.arrays import Array
from portable_bp.backends import Backend, advise_smaller, attempt, select_backend
from portable_bp.backends.host import host_array, read_numbers
from portable_bp.backends.selector import dtype_name


def as_array(backend: Backend, data: Any, name: str, dtype: str | None = None) -> Array:
    """Return data on the backend, in its dtype or a given one."""
    with _Naming(name):
        advise = advise_smaller(name, lambda: math.prod(shape_of(data) or ()))
        return attempt(lambda: backend.asarray(data, dtype), backend, f"converting {name}", advise)


def as_host_array(backend: Backend, data: Any, name: str) -> np.ndarray:
    """Return host data, such as a list or a data frame, as a NumPy array in the backend's dtype."""
    with _Naming(name):
        return host_array(data, dtype_name(backend.dtype), backend.name)


def as_precise_array(backend: Backend, data: Any, name: str) -> tuple[Backend, Array]:
    """Return the backend and array of data on their own device and in their own precision, on the host at least float64."""
    if is_array_api_obj(data) and not is_numpy_array(data):
        own = in_own_precision(backend, data)
        return own, as_array(own, data, name)
    with _Naming(name):
        array = read_numbers(data, backend.name)
    # Long doubles keep their precision; large whole numbers may be rounded.
    return select_backend("numpy", "float64"), array if array.dtype.itemsize > 8 else array.astype(np.float64)


def in_own_precision(backend: Backend, array: Array) -> Backend:
    """Return a backend, in float64 if an array of its library is."""
    is_double = str(array.dtype).endswith("float64") and array_namespace(array) is backend.xp
    return select_backend(backend, "float64") if is_double else backend


def shape_of(data: Any) -> tuple[int, ...] | None:
    """Return the shape of data, or None for ragged lists, which converting them will refuse."""
    try:
        return tuple(data.shape) if hasattr(data, "shape") else np.shape(data)
    except ValueError:
        return None


class _Naming:
    """Prefixes the messages of errors about an argument's data with its name.

    As a generator, it would take longer than converting a sample.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, TypeError | ValueError | OverflowError):
            raise type(error)(f"{self.name} cannot be used: {error}") from None
