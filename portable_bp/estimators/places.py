"""Where arrays are: on the host, or on the backend that they belong to."""

from __future__ import annotations

from typing import Any

import array_api_compat
import sklearn

from portable_bp.backends import Backend, backend_of, select_backend


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
    return data if is_host(data) else backend_of(data, "float32").to_numpy(data)


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
    device = array_api_compat.device(x)
    dtype = x.dtype
    if dtype not in (xp.float32, xp.float64):
        dtype = xp.__array_namespace_info__().default_dtypes(device=device)["real floating"]
    return backend_of(x, dtype) if flag is None else select_backend(flag, dtype)


def same_place(backend: Backend, other: Backend) -> bool:
    """Return whether two backends are the same library on the same device.

    Parameters
    ----------
    backend, other : Backend
        Of any dtypes.
    """
    return (backend.name, backend.device) == (other.name, other.device)


def bring(backend: Backend, data: Any, name: str) -> Any:
    """Return what belongs to the samples: as it is, or on the host where scikit-learn lets everything follow X.

    Parameters
    ----------
    backend : Backend
        Where the samples are.
    data : list or array
        Targets or weights.
    name : str
        What the message calls them.

    Raises
    ------
    TypeError
        If it is an array of another library or device, and array_api_dispatch is off.
    """
    if is_host(data):
        return data
    own = backend_of(data, "float32")
    if same_place(own, backend):
        return data
    if sklearn.get_config()["array_api_dispatch"]:
        return own.to_numpy(data)
    raise TypeError(
        f"{name} is a {own.name} array on {own.device}, and X is used with {backend.name} on {backend.device}: move {name} "
        "there, or turn on scikit-learn's array_api_dispatch, with which everything follows X."
    )
