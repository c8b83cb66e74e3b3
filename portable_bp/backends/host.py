"""What every backend asks of data that comes from the host: real numbers, in one rectangle, that the dtype can hold."""

from __future__ import annotations

import warnings
from typing import Any

import array_api_compat
import numpy as np

from portable_bp.backends.frames import find_columns, read_columns

MASKED = "some of {} is masked: fill or drop what is masked first."


def host_array(data: Any, dtype: str, backend: str) -> np.ndarray:
    """Return data from the host as a NumPy array.

    Parameters
    ----------
    data : list, number or NumPy array
        Real numbers; also anything else that NumPy reads, such as a data frame.
    dtype : str
        The NumPy name of the dtype to hold them.
    backend : str
        The name of the backend that asks, for the message.

    Returns
    -------
    numpy.ndarray
        Data itself where it is such an array already.

    Raises
    ------
    TypeError
        If it is an array of another library, or does not hold real numbers.
    ValueError
        If it is ragged, or holds a number that the dtype cannot.
    """
    columns = find_columns(data)
    if columns is not None:
        return _read_frame(data, columns, dtype)
    array = read_numbers(data, backend)
    _check_range(array, np.dtype(dtype))
    array = np.asarray(array, dtype=dtype, order="C")
    # NumPy calls an array contiguous whatever the stride of an axis of one; PyTorch takes none that is negative.
    return array.copy() if any(stride < 0 for stride in array.strides) else array


def read_numbers(data: Any, backend: str) -> np.ndarray:
    """Return data from the host as a NumPy array of real numbers of any dtype; raise as `host_array` does."""
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
        raise TypeError(f"it holds {_described(array)}, not real numbers: convert it to int or float first.")
    return array


def refuse_masked(data: Any, name: str = "it") -> None:
    """Raise if something in data is masked: other libraries, and scikit-learn, would take what is beneath the mask.

    Parameters
    ----------
    data : object
        What was given; of a list, its rows are looked at.
    name : str
        What the message calls it.

    Raises
    ------
    TypeError
        If something is masked.
    """
    rows = data if isinstance(data, list | tuple) else [data]
    if any(isinstance(row, np.ma.MaskedArray) and np.ma.is_masked(row) for row in rows):
        raise TypeError(MASKED.format(name))


def refuse_foreign(data: Any, backend: str) -> None:
    """Raise if data is an array of a library other than NumPy, which would be moved in silence.

    Parameters
    ----------
    data : object
        What was given.
    backend : str
        The name of the backend that asks, for the message.

    Raises
    ------
    TypeError
        If it is such an array.
    """
    if isinstance(data, np.ndarray | np.generic):
        return
    if array_api_compat.is_array_api_obj(data) or hasattr(data, "__dlpack__"):
        library = type(data).__module__.partition(".")[0]
        raise TypeError(
            f"it is a {library} array on {getattr(data, 'device', 'an unknown device')}, and this is the {backend} "
            "backend, which moves nothing in silence: convert it to NumPy yourself, or take its own library's backend."
        )


def refuse_device(given: Any, expected: Any) -> None:
    """Raise if an array of the backend's own library lies on another device.

    Parameters
    ----------
    given, expected : device
        Where the array is, and where the backend is.

    Raises
    ------
    TypeError
        If they differ.
    """
    if given != expected:
        raise TypeError(
            f"it is on {given}, and the backend is on {expected}: move it there yourself, or take a backend on {given}."
        )


def refuse_kind(xp: Any, given: Any, wanted: str | None) -> None:
    """Raise if an array of the backend's own library does not hold the kind of numbers that is wanted.

    Parameters
    ----------
    xp : module
        The library's array API namespace.
    given : dtype
        What the array holds.
    wanted : str or None
        "int32" for integers, None for real numbers.

    Raises
    ------
    TypeError
        If it holds others.
    """
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


def _described(array: np.ndarray) -> str:
    if array.dtype.kind == "O" and any(isinstance(item, int) and item.bit_length() > 63 for item in array.flat):
        return "integers of more than 64 bits"
    if array.dtype.kind == "O":
        return f"Python objects ({type(next(iter(array.flat), None)).__name__})"
    return {"c": "complex numbers", "U": "text", "S": "text"}.get(array.dtype.kind, str(array.dtype))


def _check_range(array: np.ndarray, dtype: np.dtype) -> None:
    """Raise if a number would overflow, or an integer lose its last digits, in silence."""
    if dtype.kind in "iu":
        if array.dtype.kind == "f":
            raise TypeError(f"it holds {array.dtype}, not integers: convert it to int first.")
        largest, remedy = int(np.iinfo(dtype).max), "renumber it."
    elif array.dtype.kind == "f":
        if array.dtype.itemsize <= dtype.itemsize:
            return
        array = array[np.isfinite(array)]
        largest, remedy = float(np.finfo(dtype).max), "scale it, or use dtype='float64'."
    else:
        largest, remedy = 2 ** (np.finfo(dtype).nmant + 1), "scale it, use dtype='float64', or make it float yourself."
    if array.size and (reach := max(abs(array.max().item()), abs(array.min().item()))) > largest:
        raise ValueError(f"it holds {reach:,}, and {dtype} is exact no further than {largest:,}: {remedy}")
