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

REFUSED = (TypeError, ValueError, OverflowError)  # what a backend raises for data that it cannot hold


def as_array(backend: Backend, data: Any, name: str, dtype: str | None = None) -> Array:
    """Return data on the backend, in its dtype or a given one."""
    advise = advise_smaller(name, lambda: math.prod(shape_of(data) or ()))
    try:
        return attempt(lambda: backend.asarray(data, dtype), backend, f"converting {name}", advise)
    except REFUSED as error:
        raise _named(name, error) from None


def as_host_array(backend: Backend, data: Any, name: str) -> np.ndarray:
    """Return host data, such as a list or a data frame, as a NumPy array in the backend's dtype."""
    try:
        return host_array(data, dtype_name(backend.dtype), backend.name)
    except REFUSED as error:
        raise _named(name, error) from None


def as_precise_array(backend: Backend, data: Any, name: str) -> tuple[Backend, Array]:
    """Return the backend and array of data on their own device and in their own precision, on the host at least float64."""
    if is_array_api_obj(data) and not is_numpy_array(data):
        own = in_own_precision(backend, data)
        return own, as_array(own, data, name)
    try:
        array = read_numbers(data, backend.name)
    except REFUSED as error:
        raise _named(name, error) from None
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


def _named(name: str, error: Exception) -> Exception:
    """Return an error about an argument's data whose message begins with the argument's name."""
    return type(error)(f"{name} cannot be used: {error}")
