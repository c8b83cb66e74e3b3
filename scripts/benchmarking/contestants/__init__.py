"""The contestants: portable_bp on each backend, the same network in other libraries, and the matrix products alone."""

import importlib.util

import portable_bp as bp
from scripts.benchmarking.contestants.contestant import Contestant
from scripts.benchmarking.contestants.floor import Floor, FloorOnGpu
from scripts.benchmarking.contestants.jax_jit import Jax, JaxOnGpu, JaxScan, JaxScanOnGpu
from scripts.benchmarking.contestants.ours import Ours, OursCupy, OursJax, OursJaxOnGpu, OursNumpy, OursTorch, OursTorchOnGpu
from scripts.benchmarking.contestants.pytorch import Torch, TorchCompiled, TorchCompiledOnGpu, TorchGraph, TorchOnGpu
from scripts.benchmarking.contestants.scikit_learn import ScikitLearn

__all__ = ["Contestant", "EVERYONE", "Floor", "ON_GPU", "Ours", "REHEARSED", "TorchCompiled", "why_unavailable"]

EVERYONE: tuple[type[Contestant], ...] = (OursNumpy, OursTorch, OursJax, Floor, Torch, TorchCompiled, Jax, ScikitLearn)
ON_GPU: tuple[type[Contestant], ...] = (
    OursCupy,
    FloorOnGpu,
    JaxOnGpu,
    TorchOnGpu,
    TorchGraph,
    JaxScanOnGpu,
    OursTorchOnGpu,
    OursJaxOnGpu,
    TorchCompiledOnGpu,  # the last: its compilation gets the time that the others leave
)
REHEARSED: tuple[type[Contestant], ...] = (OursNumpy, Floor, Jax, Torch, TorchGraph, JaxScan, OursTorch, OursJax)


def why_unavailable(kind: type[Contestant]) -> str | None:
    """Return why a contestant's library or device cannot be used here, or None if it can."""
    module, _, device = kind.needs.partition(":")
    if importlib.util.find_spec(module) is None:
        return f"{module} is not installed"
    try:
        if device:
            bp.select_backend(kind.needs)
    except bp.BackendUnavailableError as error:
        return str(error)
    return None
