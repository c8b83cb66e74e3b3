"""Where arrays are: on the host, or on the backend that they belong to."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np
import sklearn

from portable_bp.algorithm.arrays import Array
from portable_bp.backends import Backend, backend_of, compiled, select_backend


def is_host(data: Any) -> bool:
    """Return whether data come from the host: NumPy arrays, and all that is no array of a library.

    Parameters
    ----------
    data : object
        What was given.
    """
    return array_api_compat.is_numpy_array(data) or not array_api_compat.is_array_api_obj(data)


def to_host(data: Any) -> Any:
    """Return an array of any backend as NumPy's, and host data as they are.

    Parameters
    ----------
    data : object
        Arrays may be of any dtype.
    """
    return data if is_host(data) else backend_of(data).to_numpy(data)


def place_for(flag: Any, x: Any) -> Backend:
    """Return the backend to fit on.

    Parameters
    ----------
    flag : str, Backend or None
        What was asked for; None follows x.
    x : array or sparse matrix
        The samples; those of the host have been checked.

    Raises
    ------
    TypeError
        If x is an array of no known library.
    """
    if is_host(x):
        return select_backend("numpy" if flag is None else flag, x.dtype)
    xp = array_api_compat.array_namespace(x)
    dtype = x.dtype
    if dtype not in (xp.float32, xp.float64):
        dtype = xp.__array_namespace_info__().default_dtypes(device=array_api_compat.device(x))["real floating"]
    return backend_of(x, dtype) if flag is None else select_backend(flag, dtype)


def same_place(one: Backend, other: Backend) -> bool:
    """Return whether two backends are the same library on the same device.

    Parameters
    ----------
    one, other : Backend
        Of any dtypes.
    """
    return (one.name, one.device) == (other.name, other.device)


def refuse_elsewhere(given: Backend, expected: Backend, name: str, remedy: str) -> None:
    """Raise unless two backends are the same library on the same device.

    Parameters
    ----------
    given, expected : Backend
        Where an array is, and where it is to be.
    name : str
        What the message calls the array.
    remedy : str
        What to do, for the message.

    Raises
    ------
    TypeError
        If they are not.
    """
    if not same_place(given, expected):
        raise TypeError(
            f"{name} is used with {given.name} on {given.device}, and the rest with {expected.name} on {expected.device}: "
            f"{remedy}."
        )


def follow_samples(backend: Backend, data: Any, name: str) -> Any:
    """Return targets or weights: as they are, or on the host where scikit-learn lets them follow X.

    Parameters
    ----------
    backend : Backend
        Where the samples are.
    data : list or array
        On the host, on the backend, or, with array_api_dispatch, elsewhere.
    name : str
        What the message calls them.

    Raises
    ------
    TypeError
        If it is an array of another library or device, and array_api_dispatch is off.
    """
    if is_host(data):
        return data
    own = backend_of(data)
    if sklearn.get_config()["array_api_dispatch"] and not same_place(own, backend):
        return own.to_numpy(data)
    refuse_elsewhere(own, backend, name, f"move {name} there, or turn on array_api_dispatch, with which everything follows X")
    return data


def put_labels(backend: Backend, labels: np.ndarray) -> Any:
    """Return labels of the host on a backend; those that it cannot hold, such as text, as they are.

    Parameters
    ----------
    backend : Backend
        Where numbers go.
    labels : numpy.ndarray
        Numbers or text.
    """
    if labels.dtype.kind not in "biuf":
        return labels
    if labels.dtype.kind == "b":
        return compiled(backend, _is_one)(backend.asarray(labels, "int32"))
    # Few libraries know what to do with wider unsigned integers.
    wide = labels.dtype.kind == "u" and labels.dtype.itemsize > 1
    put = backend.asarray(labels, "int64" if wide else labels.dtype.name)
    return put if np.array_equal(backend.to_numpy(put), labels) else labels


def _is_one(array: Array) -> Array:
    return array == 1
