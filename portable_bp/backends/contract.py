"""The contract: everything that the rest of the package requires of an array library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np


class Memory(NamedTuple):
    """A device's memory in bytes: what is free for new arrays, and all of it."""

    free: int
    total: int


class Backend(Protocol):
    """An array library, one of its devices, and a floating-point dtype.

    `select_backend` returns one. Two backends are equal if they have the same class, device, dtype and precision; a copied or
    unpickled backend is the same object.

    Attributes
    ----------
    name : str
        The library, as `select_backend` takes it: "numpy", "cupy", "torch", "jax" or "strict".
    xp : module
        The library's array API namespace.
    device : object
        The library's own device object.
    dtype : object
        The library's own float32 or float64.
    precision : str
        The precision of the factors in matrix products: the dtype's name for full precision, else "tf32" or "mixed", as
        `select_backend` takes it.
    """

    name: str
    xp: Any
    device: Any
    dtype: Any
    precision: str

    def asarray(self, data: Any, dtype: str | None = None) -> Any:
        """Return data as an array on this device.

        Parameters
        ----------
        data : number, list, NumPy array, data frame, or array of this library on this device
            Real numbers. Data on the host are copied to the device; an array of this library on this device is not copied if
            it has the dtype.
        dtype : str, optional
            An integer dtype such as "int32", for classes and indices. By default, the backend's floating-point dtype.

        Returns
        -------
        array
            Of this library, on this device, in the dtype.

        Raises
        ------
        TypeError
            If data is an array of another library or on another device, or does not hold real numbers.
        ValueError
            If data is ragged, or holds a number that the dtype cannot represent.
        """
        ...

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return an array of this library as a NumPy array, waiting until it is computed.

        Parameters
        ----------
        array : array
            Of this library.

        Returns
        -------
        numpy.ndarray
            Of the same shape and dtype. It may share memory with the array if that is on the host.
        """
        ...

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function prepared for many calls on this device.

        Parameters
        ----------
        function : callable
            A pure function of arrays and of nested tuples, lists and named tuples of arrays.

        Returns
        -------
        callable
            Takes and returns the same.
        """
        ...

    def loop(self, function: Callable[[Any, Any, Any], Any]) -> Callable[..., Callable[..., Any]]:
        """Return a loop over a function, prepared for many steps on this device.

        Parameters
        ----------
        function : callable
            A pure function ``function(carry, constants, item)`` that returns the next carry, of the same shapes and dtypes.
            Each of the three is nested tuples, lists and named tuples of arrays, or None.

        Returns
        -------
        callable
            ``loop(constants)`` returns ``run(carry, items, steps, expected=1, total=1)``, which returns the carry after that
            many steps. The arrays in ``items`` have a leading axis of at least ``steps`` items. ``expected`` is the number of
            steps to expect in all runs with items of these shapes, ``total`` with those of any shapes: they decide whether
            preparation pays off. No argument is modified.
        """
        ...

    def synchronize(self) -> None:
        """Wait until all work on the device is done."""
        ...

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether the library raises such an error when the device runs out of memory.

        Parameters
        ----------
        error : Exception
            Raised by a call of the library.
        """
        ...

    def memory(self) -> Memory | None:
        """Return the device's free and total memory after releasing cached blocks; None if unknown.

        Returns
        -------
        Memory or None
            ``(free, total)``, in bytes.
        """
        ...


class BackendInfo(NamedTuple):
    """One row of `available_backends`.

    Attributes
    ----------
    name : str
        As `select_backend` takes it.
    devices : tuple of str
        What may follow the name and a colon in a flag; the first is the default. Empty if the backend is not usable.
    version : str or None
        The library's version; None if it cannot be imported.
    usable : bool
        Whether `select_backend` returns the backend.
    reason : str or None
        Why it is not usable; None if it is.
    """

    name: str
    devices: tuple[str, ...]
    version: str | None
    usable: bool
    reason: str | None


class BackendUnavailableError(RuntimeError):
    """A backend's library is installed, but cannot be used as requested on this machine.

    Raised if no GPU is found, if the requested device does not exist, or if it does not support the requested dtype or
    precision. The message says why and what to do. A library that is not installed is an ImportError instead.
    """
