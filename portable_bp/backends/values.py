"""Backends as values: equal where they select the same, copied as themselves, and pickled with arrays of any library."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj, is_numpy_array

from portable_bp.backends.compiled import compiled
from portable_bp.backends.contract import Backend, BackendUnavailableError
from portable_bp.backends.selector import backend_of, dtype_name, flag_of, select_backend
from portable_bp.common.trees import map_leaves


class BackendValue:
    """What a backend is compared, hashed, shown, copied and pickled by: its class, library, device, dtype and precision."""

    @functools.cached_property
    def _selection(self) -> tuple[str, str, str]:
        backend: Any = self
        return flag_of(backend), dtype_name(backend.dtype), backend.precision

    def __eq__(self, other: object) -> bool:
        """Return whether another backend selects the same."""
        return type(self) is type(other) and self._selection == other._selection  # pyright: ignore[reportAttributeAccessIssue]

    def __hash__(self) -> int:
        """Return the same number for backends that are equal."""
        return hash(self._selection)

    def __repr__(self) -> str:
        """Return the call that selects it."""
        flag, dtype, precision = self._selection
        arguments = (flag, dtype) if precision == dtype else (flag, dtype, precision)
        return f"select_backend({', '.join(map(repr, arguments))})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how it is selected again: a copy is the backend itself."""
        return _select_again, self._selection


def _select_again(flag: str, dtype: str, precision: str) -> Backend:
    """Return the backend that was pickled, or say where it was."""
    try:
        return select_backend(flag, dtype, precision)
    except (ImportError, BackendUnavailableError) as error:
        raise type(error)(
            f"this pickle needs backend '{flag}', which cannot be used here ({error}): to load it anywhere, move a network "
            "to NumPy with its to('numpy') before it is pickled, and fit an estimator on NumPy arrays."
        ) from None


class _Carried:
    """An array that is pickled as its backend and its numbers on the host, and becomes an array there again."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __reduce__(self) -> tuple[Any, ...]:
        backend = backend_of(self.array)
        return _put, (backend, backend.to_numpy(self.array))


def carried(tree: Any) -> Any:
    """Return nested tuples and lists in which arrays of libraries other than NumPy are ready to be pickled.

    The libraries' own pickles do not say what to do where the library or the device is missing, and JAX's come back on the
    default device and, where ``jax_enable_x64`` is off, in float32.

    Parameters
    ----------
    tree : nested tuples and lists, or what they hold
        Anything but arrays stays as it is.
    """
    return map_leaves(lambda leaf: _Carried(leaf) if is_array_api_obj(leaf) and not is_numpy_array(leaf) else leaf, tree)


def _put(backend: Backend, numbers: np.ndarray) -> Any:
    if numbers.dtype.kind == "b":
        return compiled(backend, _is_one)(backend.asarray(numbers, "int32"))
    dtype = None if numbers.dtype.kind == "f" else numbers.dtype.name
    if numbers.flags.f_contiguous and not numbers.flags.c_contiguous and numbers.ndim == 2:
        return backend.asarray(numbers.T, dtype).mT  # numbers in another order might round otherwise
    return backend.asarray(numbers, dtype)


def _is_one(array: Any) -> Any:
    return array == 1
