"""Where arrays are: on the host, as NumPy arrays are, or on a device of another library.

Data that belongs to no array library, such as lists, data frames and sparse matrices, counts as host data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat
import sklearn

from portable_bp.algorithm.arrays import Array
from portable_bp.backends import Backend, backend_of, compiled, select_backend


def is_host(data: Any) -> bool:
    """Return whether data is on the host: a NumPy array, or anything that is not an array of a library."""
    return array_api_compat.is_numpy_array(data) or not array_api_compat.is_array_api_obj(data)


def to_host(data: Any) -> Any:
    """Return an array of any library and dtype as a NumPy array, and host data as it is."""
    return data if is_host(data) else backend_of(data).to_numpy(data)


def to_host_like(array: Array, data: Any) -> Array:
    """Return an array on the host if data is on the host, and as it is otherwise."""
    return to_host(array) if is_host(data) else array


def run_in_place(backend: Backend, function: Callable[..., Array], *arrays: Array) -> Array:
    """Call a function of arrays where they are: directly on the host, compiled on the backend."""
    return function(*arrays) if is_host(arrays[0]) else compiled(backend, function)(*arrays)


def backend_for(flag: str | Backend | None, x: Any) -> Backend:
    """Return the backend to fit on: the parameter ``backend``, or that of the samples if it is None."""
    if is_host(x):
        return select_backend("numpy" if flag is None else flag, x.dtype)
    xp = array_api_compat.array_namespace(x)
    dtype = x.dtype
    if dtype not in (xp.float32, xp.float64):
        dtype = xp.__array_namespace_info__().default_dtypes(device=array_api_compat.device(x))["real floating"]
    return backend_of(x, dtype) if flag is None else select_backend(flag, dtype)


def on_same_device(one: Backend, other: Backend) -> bool:
    """Return whether two backends are the same library on the same device, whatever their dtypes."""
    return (one.name, one.device) == (other.name, other.device)


def require_same_device(given: Backend, expected: Backend, name: str, remedy: str) -> None:
    """Raise a TypeError unless the named array's backend is the expected library on the expected device."""
    if not on_same_device(given, expected):
        raise TypeError(
            f"{name} is a {given.name} array on {given.device}, but everything else uses {expected.name} on "
            f"{expected.device}: {remedy}."
        )


def follow_samples(backend: Backend, data: Any, name: str) -> Any:
    """Return targets or weights as they are, or on the host if scikit-learn's array_api_dispatch lets them follow X."""
    if is_host(data):
        return data
    own = backend_of(data)
    if sklearn.get_config()["array_api_dispatch"] and not on_same_device(own, backend):
        return own.to_numpy(data)
    remedy = f"move {name} there, or turn on array_api_dispatch, with which scikit-learn moves everything to where X is"
    require_same_device(own, backend, name, remedy)
    return data
