"""Backpropagation for dense networks of any size, on NumPy, CuPy, PyTorch or JAX arrays."""

from portable_bp.algorithm import activations, initializers, losses, optimizers, schedules
from portable_bp.algorithm.arrays import Layer
from portable_bp.backends import Backend, BackendUnavailableError, available_backends, select_backend
from portable_bp.network import Network, check_gradient
from portable_bp.training import DivergenceError, EarlyStopping, History
from portable_bp.version import __version__

__all__ = [
    "Backend",
    "BackendUnavailableError",
    "DivergenceError",
    "EarlyStopping",
    "History",
    "Layer",
    "Network",
    "__version__",
    "activations",
    "available_backends",
    "check_gradient",
    "initializers",
    "losses",
    "optimizers",
    "schedules",
    "select_backend",
]
