"""Compare, copy and pickle backends by the flag that selects them, and pickle arrays of any library."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj, is_numpy_array

from portable_bp.backends.cache import compiled
from portable_bp.backends.contract import Backend, BackendUnavailableError
from portable_bp.backends.selector import backend_of, dtype_name, flag_of, select_backend
from portable_bp.common.trees import map_leaves


class BaseBackend:
    """Base class of backends: they are equal if class, device, dtype and precision are, and are pickled as these."""

    @functools.cached_property
    def _selection(self) -> tuple[str, str, str]:
        backend: Any = self
        return flag_of(backend), dtype_name(backend.dtype), backend.precision

    def __eq__(self, other: object) -> bool:
        """Return whether the other is the same kind of backend with the same device, dtype and precision."""
        return type(self) is type(other) and self._selection == other._selection  # pyright: ignore[reportAttributeAccessIssue]

    def __hash__(self) -> int:
        """Return a hash of the device, dtype and precision."""
        return hash(self._selection)

    def __repr__(self) -> str:
        """Return the call of `select_backend` that returns this backend."""
        flag, dtype, precision = self._selection
        arguments = (flag, dtype) if precision == dtype else (flag, dtype, precision)
        return f"select_backend({', '.join(map(repr, arguments))})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle by selecting again, which returns the same object."""
        return _select_again, self._selection


def _select_again(flag: str, dtype: str, precision: str) -> Backend:
    """Return the backend that was pickled, or raise an error that names it."""
    try:
        return select_backend(flag, dtype, precision)
    except (ImportError, BackendUnavailableError) as error:
        raise type(error)(
            f"this pickle needs backend '{flag}', which is not available here ({error}): for a pickle that loads anywhere, "
            "move a network to NumPy with to('numpy') before pickling it, or fit an estimator on NumPy arrays."
        ) from None


class _Picklable:
    """An array that is pickled as its backend and a NumPy array, and unpickled as an array of that backend."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __reduce__(self) -> tuple[Any, ...]:
        backend = backend_of(self.array)
        return _unpickle, (backend, backend.to_numpy(self.array))


def carried(tree: Any) -> Any:
    """Return nested tuples and lists with arrays of libraries other than NumPy wrapped for pickling.

    The libraries' own pickles do not say what to do if the library or the device is missing, and JAX's are loaded on the
    default device and, if ``jax_enable_x64`` is off, in float32.
    """
    return map_leaves(lambda leaf: _Picklable(leaf) if is_array_api_obj(leaf) and not is_numpy_array(leaf) else leaf, tree)


def _unpickle(backend: Backend, numbers: np.ndarray) -> Any:
    if numbers.dtype.kind == "b":
        return compiled(backend, _equals_one)(backend.asarray(numbers, "int32"))
    dtype = None if numbers.dtype.kind == "f" else numbers.dtype.name
    if numbers.flags.f_contiguous and not numbers.flags.c_contiguous and numbers.ndim == 2:
        return backend.asarray(numbers.T, dtype).mT  # keeps the memory layout, on which rounding may depend
    return backend.asarray(numbers, dtype)


def _equals_one(array: Any) -> Any:
    return array == 1
