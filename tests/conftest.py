"""The backend fixture, what must not be skipped, and the sentence that says which backends ran."""

import collections
import contextlib
import importlib.util
import os

# scikit-learn's array_api_dispatch wants it to be set before SciPy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import hypothesis
import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends import numpy as numpy_backend
from portable_bp.backends import selector
from tests.pretended_cupy import pretending

hypothesis.settings.register_profile("default", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("default")

# Every name is a way to run, with the flag that selects it; PORTABLE_BP_REQUIRE names flags.
WAYS = {
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
REQUIRED = {name for name in os.environ.get("PORTABLE_BP_REQUIRE", "").split(",") if name}
FLAGS = {flag.partition(":")[0] if flag.endswith("1") else flag for flag in WAYS.values()}
if REQUIRED - FLAGS:
    raise pytest.UsageError(f"PORTABLE_BP_REQUIRE names {sorted(REQUIRED - FLAGS)}: the known ones are {sorted(FLAGS)}")
ran = collections.Counter()
skipped = {}


class ReadOnlyNumpyBackend(numpy_backend.NumpyBackend):
    """NumPy whose every array refuses to be changed: what a compiled function is given, and what it returns."""

    def asarray(self, data, dtype=None):
        return freeze(super().asarray(data, dtype).copy())

    def compile(self, function):
        inner = super().compile(function)
        return lambda *arguments: freeze(inner(*freeze(arguments)))


def freeze(tree):
    if isinstance(tree, np.ndarray):
        tree.flags.writeable = False
    elif isinstance(tree, list | tuple):
        for part in tree:
            freeze(part)
    return tree


class Way:
    """One way to run, with what a test needs to hold a result against it."""

    def __init__(self, name):
        self.name = name
        self.flag = WAYS[name]

    def backend(self, dtype="float64"):
        return bp.select_backend(self.flag, dtype)

    def network(self, sizes, *arguments, dtype="float64", **options):
        return bp.Network(sizes, *arguments, backend=self.flag, dtype=dtype, **options)

    def current(self):
        """Return a context in which a test may compute on the device itself, as a user of several GPUs does."""
        device = self.backend().device
        return device if hasattr(device, "__enter__") and self.backend().name == "cupy" else contextlib.nullcontext()

    def values(self, array, dtype="float64"):
        """Return an array's values, having checked that it is this backend's, on its device and in its dtype."""
        backend = self.backend(dtype)
        assert type(array) is type(backend.asarray([0.0])) or array.shape == (), type(array)
        assert array.dtype == backend.dtype
        if hasattr(array, "device"):
            assert array.device == backend.device
        return backend.to_numpy(array)

    def assert_close(self, array, expected, rtol=1e-12, atol=0.0, dtype="float64"):
        np.testing.assert_allclose(self.values(array, dtype), expected, rtol=rtol, atol=atol)


def bits(network):
    """Return the bits of every parameter, to tell networks apart by."""
    return [None if part is None else part.tobytes() for layer in network._host_layers() for part in layer]


def why_unusable(name):
    try:
        bp.select_backend(WAYS[name])
    except (ImportError, bp.BackendUnavailableError) as error:
        if WAYS[name].removesuffix(":device1") in REQUIRED:
            pytest.fail(f"PORTABLE_BP_REQUIRE names {WAYS[name]}: {error}")
        return str(error)
    return None


@contextlib.contextmanager
def arranged(name, monkeypatch):
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


@pytest.fixture(params=list(WAYS))
def way(request, monkeypatch):
    """Run the test once on every backend that is here."""
    reason = None if request.param == "cupy-pretended" else why_unusable(request.param)
    if reason:
        skipped[request.param] = reason
        pytest.skip(f"{request.param}: {reason}")
    ran[request.param] += 1
    with arranged(request.param, monkeypatch):
        yield Way(request.param)


@pytest.fixture(scope="session")
def torch():
    """PyTorch, as an oracle."""
    if "torch" not in REQUIRED and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch, the oracle, is not installed")
    import torch

    return torch


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("backends")
    for name in WAYS:
        said = f"{ran[name]} tests" if ran[name] else f"none: {skipped.get(name, 'no test asked for it')}"
        terminalreporter.line(f"{name:<16}{said}")
