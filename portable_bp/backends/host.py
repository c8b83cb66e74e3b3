"""Checks that every backend makes on data from the host: real numbers, not ragged, representable in the dtype."""

from __future__ import annotations

import warnings
from typing import Any

import array_api_compat
import numpy as np

from portable_bp.backends.dataframes import find_columns, read_columns

MASKED = "some of {} is masked: fill or drop the masked values first."


def host_array(data: Any, dtype: str, backend: str) -> np.ndarray:
    """Return data that NumPy or a data frame holds as a NumPy array of a dtype, without a copy where possible.

    Raises a TypeError for arrays of other libraries, naming the backend, and for anything but real numbers; a ValueError for
    ragged data and numbers that the dtype cannot represent. Messages continue a sentence about the data ("x cannot be used:").
    """
    if type(data) is np.ndarray and data.dtype == dtype and data.flags.c_contiguous and min(data.strides, default=0) >= 0:
        return data  # the usual case, which the checks below would only confirm
    columns = find_columns(data)
    if columns is not None:
        return _read_frame(data, columns, dtype)
    array = read_numbers(data, backend)
    _check_range(array, np.dtype(dtype))
    array = np.asarray(array, dtype=dtype, order="C")
    # NumPy ignores the stride of an axis of length one; PyTorch refuses it if it is negative.
    return array.copy() if any(stride < 0 for stride in array.strides) else array


def read_numbers(data: Any, backend: str) -> np.ndarray:
    """Return data from the host as a NumPy array of real numbers of any dtype, with the errors of ``host_array``."""
    refuse_foreign(_first_leaf(data), backend)
    refuse_masked(data)
    columns = find_columns(data)
    if columns is not None:
        return _read_frame(data, columns, "float64")
    for method, kind in (("toarray", "a sparse matrix"), ("collect", "a lazy frame")):
        if hasattr(data, method):
            raise TypeError(f"it is {kind}: convert it with its {method}() first.")
    try:
        array = _read_list(data) if isinstance(data, list | tuple) else np.asarray(data)
    except ValueError:
        raise ValueError("its rows differ in length: give every sample the same number of values.") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"it holds {_describe(array)}, not real numbers: convert it to int or float first.")
    return array


def refuse_masked(data: Any, name: str = "it") -> None:
    """Raise a TypeError if data, or a row in a list, has masked values: other libraries would use what the mask hides."""
    rows = data if isinstance(data, list | tuple) else [data]
    if any(isinstance(row, np.ma.MaskedArray) and np.ma.is_masked(row) for row in rows):
        raise TypeError(MASKED.format(name))


def refuse_foreign(data: Any, backend: str) -> None:
    """Raise a TypeError if data is an array of a library other than NumPy, which would be moved silently."""
    if isinstance(data, np.ndarray | np.generic):
        return
    if array_api_compat.is_array_api_obj(data) or hasattr(data, "__dlpack__"):
        library = type(data).__module__.partition(".")[0]
        raise TypeError(
            f"it is a {library} array on {getattr(data, 'device', 'an unknown device')}, and the {backend} backend does not "
            "move arrays of other libraries: convert it to NumPy first, or use the backend of its own library."
        )


def refuse_device(given: Any, expected: Any) -> None:
    """Raise a TypeError if an array of the backend's library is on another device than the backend."""
    if given != expected:
        raise TypeError(
            f"it is on {given}, and the backend is on {expected}: move it there first, or use a backend on {given}."
        )


def refuse_kind(xp: Any, given: Any, wanted: str | None) -> None:
    """Raise a TypeError if a dtype of the backend's library is not an integer one, or without a wanted dtype, a real one."""
    if not xp.isdtype(given, ("bool", "integral") if wanted else ("bool", "integral", "real floating")):
        kind, remedy = ("integers", "int") if wanted else ("real numbers", "int or float")
        raise TypeError(f"it holds {given}, not {kind}: convert it to {remedy} first.")


def _first_leaf(data: Any) -> Any:
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return data


def _read_frame(data: Any, columns: list[tuple[Any, Any]], dtype: str) -> np.ndarray:
    return read_columns(data, columns, dtype, lambda array: _check_range(array, np.dtype(dtype)))


def _read_list(data: Any) -> np.ndarray:
    with warnings.catch_warnings():  # NumPy reads a masked number in a list as NaN, and warns
        warnings.filterwarnings("error", ".*converting a masked element to nan", UserWarning)
        try:
            return np.asarray(data)
        except UserWarning:
            raise TypeError(MASKED.format("it")) from None


def _describe(array: np.ndarray) -> str:
    if array.dtype.kind == "O" and any(isinstance(item, int) and item.bit_length() > 63 for item in array.flat):
        return "integers of more than 64 bits"
    if array.dtype.kind == "O":
        return f"Python objects ({type(next(iter(array.flat), None)).__name__})"
    return {"c": "complex numbers", "U": "text", "S": "text"}.get(array.dtype.kind, str(array.dtype))


def _check_range(array: np.ndarray, dtype: np.dtype) -> None:
    """Raise an error if a number would silently overflow, or an integer lose its last digits."""
    if dtype.kind in "iu":
        if array.dtype.kind == "f":
            raise TypeError(f"it holds {array.dtype}, not integers: convert it to int first.")
        largest, holds, remedy = int(np.iinfo(dtype).max), "numbers", "use smaller ones, such as classes from 0 up."
    elif array.dtype.kind == "f":
        if array.dtype.itemsize <= dtype.itemsize:
            return
        array = array[np.isfinite(array)]
        largest, holds, remedy = float(np.finfo(dtype).max), "numbers", "scale it, or use dtype='float64'."
    else:
        largest, holds = 2 ** (np.finfo(dtype).nmant + 1), "integers exactly"
        remedy = "scale it, use dtype='float64', or convert it to float first."
    if array.size and (reach := max(abs(array.max().item()), abs(array.min().item()))) > largest:
        raise ValueError(f"it holds {reach:,}, and {dtype} represents {holds} only up to {largest:,}: {remedy}")
