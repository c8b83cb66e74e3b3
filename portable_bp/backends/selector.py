"""The selector: from a backend flag such as "cupy:1" to a backend."""

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

# Each is the module of one library, and the class in it: imported when asked for, since some take seconds.
BACKENDS = {
    "numpy": "NumpyBackend",
    "cupy": "CupyBackend",
    "torch": "TorchBackend",
    "jax": "JaxBackend",
    "strict": "StrictBackend",
}
ENVIRONMENT_VARIABLE = "PORTABLE_BP_BACKEND"


def available_backends() -> list[BackendInfo]:
    """Return a row for each backend: its devices and version, or why it is not usable.

    It imports every library that is installed.

    Returns
    -------
    list of BackendInfo
        Named ``name, devices, version, usable, reason``.
    """
    return [_inquire(name) for name in BACKENDS]


def select_backend(spec: str | Backend = "auto", dtype: Any = None, precision: str | None = None) -> Backend:
    """Return the backend that a flag names.

    Parameters
    ----------
    spec : str or Backend
        "numpy", "cupy", "cupy:1", "torch", "torch:cuda:0", "torch:mps", "jax", "jax:gpu", "strict", "strict:device1", or
        "auto": the environment variable PORTABLE_BP_BACKEND where it is set, else CuPy where a GPU answers, else NumPy.
        A backend of the dtype is returned as it is, another one of its library and device otherwise.
    dtype : str or dtype, optional
        "float32" or "float64". Without it, a backend's own, and "float32" for a flag.
    precision : str, optional
        What the factors of matrix products in float32 are rounded to, on GPUs that multiply such numbers sooner: "tf32" (11
        bits), "mixed" (8 bits, bfloat16's), or "float32" (24 bits), which is what it is without it. Sums, and all else, are
        float32's.

    Returns
    -------
    Backend
        The same object for the same flag, dtype and precision.

    Raises
    ------
    ValueError
        If the name, the dtype or the precision is not known.
    ImportError
        If the library is not installed.
    BackendUnavailableError
        If the library cannot use the device, or has not the precision there.
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
    place = _place(name, device)
    return _backend(name, place, dtype, _precision(name, place, dtype, precision))


def backend_of(array: Any, dtype: Any = None) -> Backend:
    """Return the backend that an array belongs to: its library and its device.

    Parameters
    ----------
    array : array
        Of one of the libraries that there are backends for.
    dtype : str or dtype, optional
        "float32" or "float64"; without it, the array's own where it is one of them, else "float32".

    Raises
    ------
    TypeError
        If it is no array of these libraries.
    """
    try:
        library = array_api_compat.array_namespace(array).__name__
    except TypeError:
        library = type(array).__module__
    name = library.removeprefix("array_api_compat.").removeprefix("array_api_").partition(".")[0]
    if name not in BACKENDS:
        raise TypeError(f"{library} has no backend: give an array of NumPy, CuPy, PyTorch, JAX or array-api-strict.")
    if dtype is None:
        xp = array_api_compat.array_namespace(array)
        dtype = array.dtype if array.dtype in (xp.float32, xp.float64) else "float32"
    return select_backend(f"{name}:{_device_name(name, array_api_compat.device(array))}", dtype)


def flag_of(backend: Backend) -> str:
    """Return the flag that selects a backend, such as "cupy:0".

    Parameters
    ----------
    backend : Backend
        Of any dtype.
    """
    return f"{backend.name}:{_device_name(backend.name, backend.device)}"


def dtype_name(dtype: Any) -> str:
    """Return "float32" or "float64" for what a user calls a dtype.

    Parameters
    ----------
    dtype : str or dtype
        A name, or any library's dtype.

    Raises
    ------
    ValueError
        If it is another one.
    """
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype).rpartition(".")[2]
    return find("dtype", name, {"float32": "float32", "float64": "float64"})


def _device_name(name: str, device: Any) -> str:
    """Return what follows a backend's name and a colon to select a device of its library."""
    if name == "jax":
        return f"{device.platform}:{device.id}"
    return str(getattr(device, "_device", getattr(device, "id", device)))


def _automatic() -> str:
    if importlib.util.find_spec("cupy") is None:
        return "numpy"
    cupy = _inquire("cupy")
    if not cupy.usable:
        warnings.warn(f"backend 'auto' takes numpy: {cupy.reason}", RuntimeWarning, stacklevel=3)
    return "cupy" if cupy.usable else "numpy"


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"portable_bp.backends.{name}")
    except NotInstalledError:
        raise
    except Exception as error:  # whatever a half-installed library raises
        said = _one_line(f"{type(error).__name__}: {error}")
        raise ImportError(
            f"the library of backend {name!r} is here, but importing it fails ({said}): install it anew."
        ) from error


def _inquire(name: str) -> BackendInfo:
    version = None
    try:
        version = _module(name).version()
        return BackendInfo(name, _module(name).devices(), version, True, None)
    except Exception as error:  # the others are still to be told
        return BackendInfo(name, (), version, False, _one_line(str(error)) or type(error).__name__)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _place(name: str, device: str) -> str:
    """Return the device that a flag names in full: the first of them where it names none."""
    known = _module(name).devices()
    matching = [found for found in known if found == device or found.startswith(f"{device}:" if device else "")]
    if not matching:
        raise BackendUnavailableError(f"backend {name!r} has no device {device!r} here: it has {', '.join(known)}.")
    return matching[0]


def _precision(name: str, place: str, dtype: str, precision: str | None) -> str:
    """Return what was asked for, where the device has it for the dtype; the dtype's own where nothing was."""
    if precision is None:
        return dtype
    find("precision", precision, dict.fromkeys(("float32", "tf32", "mixed", "float64")))
    roundings = getattr(_module(name), "roundings", lambda _: ())(place) if dtype == "float32" else ()
    if precision not in (dtype, *roundings):
        has = ", ".join((dtype, *roundings))
        raise BackendUnavailableError(
            f"precision is {precision!r}, and backend '{name}:{place}' in {dtype} has {has}: take one of these."
        )
    return precision


@functools.cache
def _backend(name: str, device: str, dtype: str, precision: str) -> Backend:
    return getattr(_module(name), BACKENDS[name])(device, dtype, precision)
