"""Backpropagation for dense networks of any size, on NumPy, CuPy, PyTorch or JAX arrays."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from portable_bp.version import __version__

if TYPE_CHECKING:
    from portable_bp.algorithm import activations, initializers, losses, optimizers, schedules
    from portable_bp.algorithm.arrays import Layer
    from portable_bp.backends import Backend, BackendUnavailableError, available_backends, select_backend
    from portable_bp.inspection.drawing import draw
    from portable_bp.network import Network, check_gradient, load
    from portable_bp.storage import ModelFileError
    from portable_bp.training import DivergenceError, EarlyStopping, History, PopulationHistory

__all__ = [
    "Backend",
    "BackendUnavailableError",
    "DivergenceError",
    "EarlyStopping",
    "History",
    "Layer",
    "ModelFileError",
    "Network",
    "PopulationHistory",
    "__version__",
    "activations",
    "available_backends",
    "check_gradient",
    "draw",
    "initializers",
    "load",
    "losses",
    "optimizers",
    "schedules",
    "select_backend",
]

_HOMES = {
    **dict.fromkeys(("activations", "initializers", "losses", "optimizers", "schedules"), "portable_bp.algorithm"),
    "Layer": "portable_bp.algorithm.arrays",
    **dict.fromkeys(("Backend", "BackendUnavailableError", "available_backends", "select_backend"), "portable_bp.backends"),
    "draw": "portable_bp.inspection.drawing",
    **dict.fromkeys(("Network", "check_gradient", "load"), "portable_bp.network"),
    "ModelFileError": "portable_bp.storage",
    **dict.fromkeys(("DivergenceError", "EarlyStopping", "History", "PopulationHistory"), "portable_bp.training"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is (PEP 562), so that importing the package takes no time."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    found = getattr(home, name, None) or importlib.import_module(f"{_HOMES[name]}.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
