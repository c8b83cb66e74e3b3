"""The targets that tests run on: each a backend on a device in a mode, with what a test needs to check a result there."""

import contextlib
import functools
import importlib.util
import os
import shutil

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends import numpy as numpy_backend
from portable_bp.backends import selector
from tests.support import nvrtc
from tests.support.pretended_cupy import pretending

# Names of targets, with the flag of the backend that each runs on.
TARGETS = {
    "numpy": "numpy",
    "numpy-readonly": "numpy",
    "strict": "strict:device1",
    "torch": "torch",
    "jax": "jax",
    "jax-eager": "jax",
    "cupy-pretended": "cupy:1",
    "cupy": "cupy",
    "torch-cuda": "torch:cuda",
    "jax-gpu": "jax:gpu",
}
# The pretended CuPy is always there: requiring it would say nothing about a backend.
FLAGS = {name: flag.removesuffix(":device1") for name, flag in TARGETS.items() if name != "cupy-pretended"}
# Programs that some tests run, and skip without.
PROGRAMS = ("chromium", "pdflatex", "c++")
# The targets whose devices differ: whether JAX compiles is tested with the algorithm.
ON_DEVICES = pytest.mark.parametrize("on_target", [name for name in TARGETS if name != "jax-eager"], indirect=True)


def names_in(variable):
    """Return the names in an environment variable, which are separated by commas."""
    return {name for name in os.environ.get(variable, "").split(",") if name}


SELECTED = names_in("PORTABLE_BP_TARGETS") or set(TARGETS)


def check_environment():
    """Refuse unknown names in PORTABLE_BP_TARGETS and PORTABLE_BP_REQUIRE, and what is required and not usable."""
    required = names_in("PORTABLE_BP_REQUIRE")
    for variable, given, known in (
        ("PORTABLE_BP_TARGETS", SELECTED, list(TARGETS)),
        ("PORTABLE_BP_REQUIRE", required, sorted({*FLAGS.values(), "numba", "nvrtc", *PROGRAMS})),
    ):
        if unknown := given - set(known):
            raise pytest.UsageError(f"{variable} names {', '.join(sorted(unknown))}: use some of {', '.join(known)}.")
    for name, flag in FLAGS.items():
        if flag in required and (reason := why_unusable(name)):
            raise pytest.UsageError(f"PORTABLE_BP_REQUIRE names {flag}, which is not usable: {reason}")
    if "numba" in required and importlib.util.find_spec("numba") is None:
        raise pytest.UsageError("PORTABLE_BP_REQUIRE names numba, which is not installed: pip install 'portable-bp[numba]'")
    if "nvrtc" in required and nvrtc.find() is None:
        raise pytest.UsageError(f"PORTABLE_BP_REQUIRE names nvrtc: {nvrtc.MISSING}")
    for program in required & set(PROGRAMS):
        if shutil.which(program) is None:
            raise pytest.UsageError(f"PORTABLE_BP_REQUIRE names {program}, which is not on the PATH.")


@functools.cache
def why_unusable(name):
    """Return why tests cannot run on a target, or None if they can."""
    if name == "cupy-pretended":
        return None if importlib.util.find_spec("scipy") else "SciPy, whose BLAS multiplies, is not installed"
    try:
        bp.select_backend(TARGETS[name])
    except (ImportError, bp.BackendUnavailableError) as error:
        return str(error)
    return None


def usable(names=TARGETS):
    """Return those of the named targets that are selected and usable."""
    return [name for name in names if name in SELECTED and not why_unusable(name)]


class Target:
    """One target: makes backends and networks there, and checks that a result is where it should be."""

    def __init__(self, name):
        self.name = name
        self.flag = TARGETS[name]

    def backend(self, dtype="float64"):
        return bp.select_backend(self.flag, dtype)

    def network(self, sizes, *arguments, dtype="float64", **options):
        return bp.Network(sizes, *arguments, backend=self.flag, dtype=dtype, **options)

    def current(self):
        """Return a context in which the device is CuPy's current one, as a user of several GPUs makes it."""
        backend = self.backend()
        return backend.device if backend.name == "cupy" else contextlib.nullcontext()

    def values(self, array, dtype="float64"):
        """Return an array's values as a NumPy array, after checking its type, dtype and device."""
        backend = self.backend(dtype)
        assert type(array) is type(backend.asarray([0.0])) or array.shape == (), type(array)
        assert array.dtype == backend.dtype
        if hasattr(array, "device"):
            assert array.device == backend.device
        return backend.to_numpy(array)

    def assert_close(self, array, expected, rtol=1e-12, atol=0.0, dtype="float64"):
        np.testing.assert_allclose(self.values(array, dtype), expected, rtol=rtol, atol=atol)


@contextlib.contextmanager
def arranged(name, monkeypatch):
    """Set a target's mode while the context is open."""
    if name == "numpy-readonly":
        monkeypatch.setattr(numpy_backend, "NumpyBackend", ReadOnlyNumpyBackend)
        selector._backend.cache_clear()
        yield
        selector._backend.cache_clear()
    elif name == "strict":
        import array_api_strict

        with array_api_strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()):
            yield
    elif name == "cupy-pretended":
        with pretending():
            yield
    elif name == "jax-eager":
        import jax

        with jax.disable_jit():
            yield
    else:
        yield


class ReadOnlyNumpyBackend(numpy_backend.NumpyBackend):
    """NumPy with read-only arrays: those that a compiled function takes and those that it returns cannot be changed."""

    def asarray(self, data, dtype=None):
        return freeze(super().asarray(data, dtype).copy())

    def compile(self, function):
        inner = super().compile(function)
        return lambda *arguments: freeze(inner(*freeze(arguments)))


def freeze(tree):
    """Make every NumPy array in nested lists and tuples read-only."""
    if isinstance(tree, np.ndarray):
        tree.flags.writeable = False
    elif isinstance(tree, list | tuple):
        for part in tree:
            freeze(part)
    return tree
