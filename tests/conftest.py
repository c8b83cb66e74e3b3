"""The backend fixture, what is skipped and what must not be, and the lines that say which backends ran.

- A test with the fixture ``way`` runs on every backend that is here. A backend that is not here takes no test each: the end of
  the output says why it is not, and so does one skipped test (`tests/backends/test_ways.py`).
- ``PORTABLE_BP_REQUIRE=torch,jax`` names backends that must be here, and ``PORTABLE_BP_WAYS=numpy,jax`` those of `WAYS` on
  which such tests run, where not all are wanted.
- ``PORTABLE_BP_WITHOUT=torch,onnx`` names libraries that are hidden, from the processes that tests start too.
- ``PORTABLE_BP_NOTES=path`` has noted in a file which files of tests ask for which optional libraries, in any way.
- A test that needs an optional library that is not here is skipped, with what the import or the package said.
"""

import collections
import contextlib
import functools
import importlib.util
import inspect
import os
import re
import traceback
from pathlib import Path

# scikit-learn's array_api_dispatch wants it to be set before SciPy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# Matrices are small here, and threads that wait for each other beside another process cost far more than they give.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends import numpy as numpy_backend
from portable_bp.backends import selector
from portable_bp.common import lookup
from tests.hidden.sitecustomize import HIDDEN, OPTIONAL, note
from tests.pretended_cupy import pretending

hypothesis.settings.register_profile("default", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.register_profile("few", hypothesis.settings.get_profile("default"), max_examples=5)
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
WANTED = {name for name in os.environ.get("PORTABLE_BP_WAYS", "").split(",") if name} or set(WAYS)
if WANTED - WAYS.keys():
    raise pytest.UsageError(f"PORTABLE_BP_WAYS names {sorted(WANTED - WAYS.keys())}: the known ones are {list(WAYS)}")
ABSENT = {name for name in OPTIONAL if importlib.util.find_spec(name) is None}
BACKEND_OF = {"array_api_strict": "strict", "cupy": "cupy", "jax": "jax", "torch": "torch"}  # by the library
PACKAGE = Path(bp.__file__).parent
ROOT = Path(__file__).parents[1]

passed = collections.Counter()  # tests by the way to run


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


@functools.cache
def why_unusable(name):
    """Return why a way to run is not here, or None where it is."""
    if name == "cupy-pretended":
        return "SciPy, whose BLAS multiplies, is not installed" if "scipy" in ABSENT else None
    try:
        bp.select_backend(WAYS[name])
    except (ImportError, bp.BackendUnavailableError) as error:
        return str(error)
    return None


# What jit changes is tested with the algorithm.
ON_DEVICES = pytest.mark.parametrize("way", [name for name in WAYS if name != "jax-eager"], indirect=True)


def usable(names=WAYS):
    """Return those ways to run that are here, and wanted."""
    return [name for name in names if name in WANTED and not why_unusable(name)]


for name, flag in WAYS.items():
    if flag.removesuffix(":device1") in REQUIRED and name != "cupy-pretended" and why_unusable(name):
        raise pytest.UsageError(f"PORTABLE_BP_REQUIRE names {flag}: {why_unusable(name)}")


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


@pytest.fixture
def way(request, monkeypatch):
    """Run the test once on every backend that is here; on the others it is left out."""
    request.node.user_properties.append(("way", request.param))
    with arranged(request.param, monkeypatch):
        yield Way(request.param)


def pytest_generate_tests(metafunc):
    marked = (mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "way" in metafunc.fixturenames and not any("way" in names for names in marked):
        metafunc.parametrize("way", WAYS, indirect=True)


@pytest.fixture(scope="session")
def torch():
    """PyTorch, as an oracle."""
    import torch

    return torch


def pytest_collection_modifyitems(config, items):
    """Leave out what runs on a backend that is not here, and all but one test of a file whose oracle is not.

    The end of the output, and that one, say why.
    """
    kept, left_out, files = [], [], set()
    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        way, check = given.get("way"), given.get("check")
        library = (
            getattr(check, "keywords", {}).get("array_namespace", "numpy").partition(".")[0]
        )  # of scikit-learn's own checks
        leave = (way in WAYS and way not in usable()) or importlib.util.find_spec(library) is None
        if not leave and "torch" in ABSENT and "torch" in getattr(item, "fixturenames", ()):
            leave = item.path in files
            files.add(item.path)
        (left_out if leave else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


class NotingImports:
    """Takes importlib's place in `require`, to note what the package asked for and what it did not find."""

    def __init__(self):
        self.missing = []

    def import_module(self, name):
        note(name.partition(".")[0])
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            self.missing.append(error)
            raise


lookup.importlib = NotingImports()


def names_backend(node, library):
    """Whether a test's name, parameters or own lines name the backend of a library."""
    lines = inspect.getsource(node.function) if hasattr(node, "function") else ""
    return re.search(rf"(?<![a-z]){BACKEND_OF[library]}(?![a-z])", node.nodeid + lines) is not None


def skip_if_absent(error, node):
    """Skip the test if it failed since an optional library is not here, and not since the package failed to say so.

    What the package says of a backend's library counts only where the test names that backend: no other test should ask for it.
    Of a command, which does not raise, the package's own notes tell; not of libraries of backends, which it tries by itself.
    """
    name = str(getattr(error, "name", None)).partition(".")[0]
    if isinstance(error, ImportError) and name in ABSENT:
        files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
        last = [path for path in files if path.suffix == ".py"][-1]
        asked = last == Path(lookup.__file__) and (name not in BACKEND_OF or names_backend(node, name))
        if PACKAGE not in last.parents or asked:
            pytest.skip(str(error), allow_module_level=True)
    for each in lookup.importlib.missing:
        if each.name in ABSENT - BACKEND_OF.keys():
            pytest.skip(f"{each.name} is not installed, which this needs", allow_module_level=True)


ASKS_FOR_BACKENDS = re.compile(r"\b(WAYS|available_backends|usable|why_unusable)\b")


@functools.cache
def mentioned(path):
    """Return the optional libraries that a file of tests or its helpers name, or ask for by other words.

    A test that runs on every backend does not ask for one: on which it runs is chosen by itself.
    """
    text = path.read_text(encoding="utf-8")
    names = {name for name in OPTIONAL if re.search(rf"\b{name}\b", text)}
    if "estimators" in text:
        names.add("sklearn")
    if ASKS_FOR_BACKENDS.search(text):
        names |= BACKEND_OF.keys()
    for package, imported in re.findall(r"^from (tests[\w.]*) import (.*)", text, re.MULTILINE):
        for module in (package, *(f"{package}.{name}" for name in imported.split(", "))):
            helper = (ROOT / module.replace(".", "/")).with_suffix(".py")
            if helper.exists() and module != "tests.conftest":
                names |= mentioned(helper)
    return names


class Module(pytest.Module):
    """A file of tests, which may import an optional library."""

    def collect(self):
        for library in mentioned(self.path):
            note(library, self.nodeid)
        try:
            return super().collect()
        except self.CollectError as error:
            skip_if_absent(error.__cause__, self)
            raise


def pytest_pycollect_makemodule(module_path, parent):
    return Module.from_parent(parent, path=module_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    lookup.importlib.missing.clear()
    try:
        return (yield)
    except (Exception, pytest.fail.Exception) as error:
        skip_if_absent(error, item)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    try:
        return (yield)
    except (Exception, pytest.fail.Exception) as error:
        skip_if_absent(error, pyfuncitem)
        raise


def pytest_runtest_logreport(report):
    if report.when == "call" and report.passed:
        passed.update(name for key, name in report.user_properties if key == "way")


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("backends")
    for name in WAYS:
        reason = "not among PORTABLE_BP_WAYS" if name not in WANTED else why_unusable(name) or "no test asked for it"
        terminalreporter.line(f"{name:<16}{f'{passed[name]} tests passed' if passed[name] else f'none: {reason}'}")
    if HIDDEN:
        terminalreporter.line(f"hidden: {', '.join(sorted(HIDDEN))}")
