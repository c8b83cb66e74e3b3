"""Select a backend by a flag such as "cupy:1"."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import warnings
from types import ModuleType
from typing import Any

import array_api_compat
import numpy as np

from portable_bp.backends.contract import Backend, BackendInfo, BackendUnavailableError
from portable_bp.common.lookup import NotInstalledError, find

# The module of each library, and its class; they are imported on demand, since some take seconds.
BACKENDS = {
    "numpy": "NumpyBackend",
    "cupy": "CupyBackend",
    "torch": "TorchBackend",
    "jax": "JaxBackend",
    "strict": "StrictBackend",
}
ENVIRONMENT_VARIABLE = "PORTABLE_BP_BACKEND"


def available_backends() -> list[BackendInfo]:
    """List the backends, with their devices and versions, or why they are not usable.

    This imports every array library that is installed.

    Returns
    -------
    list of BackendInfo
        One ``(name, devices, version, usable, reason)`` for each backend.
    """
    return [_inquire(name) for name in BACKENDS]


def select_backend(spec: str | Backend = "auto", dtype: Any = None, precision: str | None = None) -> Backend:
    """Return the backend that a flag names.

    Parameters
    ----------
    spec : str or Backend
        "numpy", "cupy", "cupy:1", "torch", "torch:cuda:0", "torch:mps", "jax", "jax:gpu", "strict", "strict:device1", or
        "auto": the environment variable PORTABLE_BP_BACKEND if it is set, else CuPy if it finds a GPU, else NumPy. A
        Backend is returned itself if it has the dtype and precision, else one with the same library and device.
    dtype : str or dtype, optional
        "float32" or "float64". The default is that of a given Backend, and "float32" for a flag.
    precision : str, optional
        The precision to which the factors of float32 matrix products are rounded, on GPUs that multiply rounded numbers
        faster: "tf32" (11 bits), "mixed" (8 bits, as in bfloat16), or "float32" (24 bits), the default. Sums and
        everything else are in float32.

    Returns
    -------
    Backend
        The same object for the same flag, dtype and precision.

    Raises
    ------
    ValueError
        If the name, the dtype or the precision is unknown.
    ImportError
        If the library is not installed.
    BackendUnavailableError
        If the library cannot use the device, or the device does not support the precision.
    """
    if not isinstance(spec, str):
        if not all(hasattr(spec, part) for part in ("name", "xp", "device", "dtype", "asarray", "to_numpy", "compile")):
            raise TypeError(f"backend is {spec!r}, and should be a flag such as 'numpy' or 'cupy:1', or a backend.")
        own = dtype_name(spec.dtype)
        dtype = own if dtype is None else dtype_name(dtype)
        if dtype == own and precision in (None, getattr(spec, "precision", None)):
            return spec
        spec = f"{spec.name}:{_device_name(spec.name, spec.device)}"
    if spec == "auto":
        spec = os.environ.get(ENVIRONMENT_VARIABLE) or _automatic()
    name, _, device = spec.partition(":")
    find("backend", name, BACKENDS)
    dtype = dtype_name("float32" if dtype is None else dtype)
    device = _device(name, device)
    return _backend(name, device, dtype, _precision(name, device, dtype, precision))


def backend_of(array: Any, dtype: Any = None) -> Backend:
    """Return the backend of an array's library and device.

    Its dtype is the given one, else the array's own if that is float32 or float64, else float32.
    """
    try:
        library = array_api_compat.array_namespace(array).__name__
    except TypeError:
        library = type(array).__module__
    name = library.removeprefix("array_api_compat.").removeprefix("array_api_").partition(".")[0]
    if name not in BACKENDS:
        raise TypeError(
            f"there is no backend for arrays of {library}: give an array of NumPy, CuPy, PyTorch, JAX or array-api-strict."
        )
    if dtype is None:
        xp = array_api_compat.array_namespace(array)
        dtype = array.dtype if array.dtype in (xp.float32, xp.float64) else "float32"
    return select_backend(f"{name}:{_device_name(name, array_api_compat.device(array))}", dtype)


def flag_of(backend: Backend) -> str:
    """Return the flag that selects a backend, such as "cupy:0"."""
    return f"{backend.name}:{_device_name(backend.name, backend.device)}"


def dtype_name(dtype: Any) -> str:
    """Return "float32" or "float64" for a name or any library's dtype, or raise a ValueError."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype).rpartition(".")[2]
    return find("dtype", name, {"float32": "float32", "float64": "float64"})


def _device_name(name: str, device: Any) -> str:
    """Return the part of a flag after the library's name that selects a device."""
    if name == "jax":
        return f"{device.platform}:{device.id}"
    return str(getattr(device, "_device", getattr(device, "id", device)))


def _automatic() -> str:
    if importlib.util.find_spec("cupy") is None:
        return "numpy"
    cupy = _inquire("cupy")
    if not cupy.usable:
        warnings.warn(f"backend 'auto' uses numpy: {cupy.reason}", RuntimeWarning, stacklevel=3)
    return "cupy" if cupy.usable else "numpy"


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"portable_bp.backends.{name}")
    except NotInstalledError:
        raise
    except Exception as error:  # an incomplete installation can raise anything
        reason = _one_line(f"{type(error).__name__}: {error}")
        raise ImportError(
            f"the library of backend {name!r} is installed, but cannot be imported ({reason}): reinstall it."
        ) from error


def _inquire(name: str) -> BackendInfo:
    version = None
    try:
        version = _module(name).version()
        return BackendInfo(name, _module(name).devices(), version, True, None)
    except Exception as error:  # the other backends must still be listed
        return BackendInfo(name, (), version, False, _one_line(str(error)) or type(error).__name__)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _device(name: str, device: str) -> str:
    """Return the full name of the device that a flag names, by default the first one."""
    known = _module(name).devices()
    matching = [found for found in known if found == device or found.startswith(f"{device}:" if device else "")]
    if not matching:
        raise BackendUnavailableError(f"backend {name!r} has no device {device!r} here: use one of {', '.join(known)}.")
    return matching[0]


def _precision(name: str, device: str, dtype: str, precision: str | None) -> str:
    """Return the requested precision, if the device supports it; by default that of the dtype."""
    if precision is None:
        return dtype
    find("precision", precision, dict.fromkeys(("float32", "tf32", "mixed", "float64")))
    roundings = getattr(_module(name), "roundings", lambda _: ())(device) if dtype == "float32" else ()
    if precision not in (dtype, *roundings):
        has = ", ".join((dtype, *roundings))
        raise BackendUnavailableError(
            f"precision is {precision!r}, and backend '{name}:{device}' in {dtype} supports {has}: use one of these."
        )
    return precision


@functools.cache
def _backend(name: str, device: str, dtype: str, precision: str) -> Backend:
    return getattr(_module(name), BACKENDS[name])(device, dtype, precision)
