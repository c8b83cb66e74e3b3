"""The contract: what the rest of the package asks of an array library, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np


class Memory(NamedTuple):
    """How much memory a device has, in bytes.

    Attributes
    ----------
    free : int
        For new arrays.
    total : int
        For all of them.
    """

    free: int
    total: int


class Backend(Protocol):
    """An array library, one of its devices, and a floating-point dtype.

    Attributes
    ----------
    name : str
        The library's name, as `select_backend` takes it.
    xp : module
        The library's array API namespace.
    device : object
        The library's own device object.
    dtype : object
        The library's own floating-point dtype.
    precision : str
        What the factors of matrix products are rounded to, as `select_backend` takes it; the dtype's name for not at all.
    """

    name: str
    xp: Any
    device: Any
    dtype: Any
    precision: str

    def asarray(self, data: Any, dtype: str | None = None) -> Any:
        """Return data as an array of this library on this device.

        Parameters
        ----------
        data : list, number, NumPy array, or an array of this library on this device
            Real numbers; lists and NumPy arrays are moved once.
        dtype : str, optional
            "int32" for classes and indices; the backend's own floating-point dtype without it.

        Raises
        ------
        TypeError
            If it is an array of another library, or on another device, or does not hold real numbers.
        ValueError
            If it is ragged, or holds a number that the dtype cannot.
        """
        ...

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return an array of this backend as a NumPy array, waiting for it.

        Parameters
        ----------
        array : array
            An array of this library.
        """
        ...

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of arrays made ready to run many times on this device.

        Parameters
        ----------
        function : callable
            A pure function of arrays and of tuples, lists and named tuples of them.
        """
        ...

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Callable[..., Callable[..., Any]]:
        """Return a loop over a function, made ready to run many times on this device.

        Parameters
        ----------
        function : callable
            A pure function ``function(carry, constants, item)`` that returns the next carry, of the same shapes. Each of the
            three is nested tuples, lists and named tuples of arrays, or None.

        Returns
        -------
        callable
            ``loop(constants)`` returns ``run(carry, items, steps, expected=1)``, which returns the carry after so many items;
            items has one more leading axis than an item. Nothing given is changed. How many items of this kind are expected
            in all says whether a preparation is worth its time.
        """
        ...

    def synchronize(self) -> None:
        """Wait until everything asked of the device is done."""
        ...

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether an error is the library's way to say that the device has not enough memory.

        Parameters
        ----------
        error : Exception
            What a call of the library raised.
        """
        ...

    def memory(self) -> Memory | None:
        """Return how much memory the device has, having given back what the library only keeps; None where it is not told."""
        ...


class BackendInfo(NamedTuple):
    """One row of `available_backends`.

    Attributes
    ----------
    name : str
        As `select_backend` takes it.
    devices : tuple of str
        What may follow the name and a colon; the first is the default.
    version : str or None
        The library's version, None where it is not installed.
    usable : bool
        Whether `select_backend` would return it.
    reason : str or None
        Why it is not usable.
    """

    name: str
    devices: tuple[str, ...]
    version: str | None
    usable: bool
    reason: str | None


class BackendUnavailableError(RuntimeError):
    """A library or a device that was asked for cannot be used here; the message says why and what to do."""
