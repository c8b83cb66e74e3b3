"""Who takes part: portable_bp on each backend, the same network in other libraries, and its matrix products alone."""

import importlib.util

from scripts.benchmarking.contestants.contestant import Contestant
from scripts.benchmarking.contestants.floor import Floor
from scripts.benchmarking.contestants.jax_jit import Jax
from scripts.benchmarking.contestants.ours import Ours, OursJax, OursNumpy, OursTorch
from scripts.benchmarking.contestants.pytorch import Torch, TorchCompiled
from scripts.benchmarking.contestants.scikit_learn import ScikitLearn

__all__ = ["Contestant", "EVERYONE", "Floor", "Ours", "TorchCompiled", "is_installed"]

EVERYONE: tuple[type[Contestant], ...] = (OursNumpy, OursTorch, OursJax, Floor, Torch, TorchCompiled, Jax, ScikitLearn)


def is_installed(kind: type[Contestant]) -> bool:
    """Return whether the library that a contestant needs is here.

    Parameters
    ----------
    kind : type
        One of `EVERYONE`.
    """
    return importlib.util.find_spec(kind.needs) is not None
