"""How the tests run: on which backends, what a missing library does, and what is printed and recorded about it.

- A test with the fixture ``on_target`` runs once on every target in `tests/support/targets.py` that is usable here. The end of
  the output says why the others are not, and so does one skipped test for each of them (`tests/backends/test_targets.py`).
- ``PORTABLE_BP_TARGETS=numpy,jax`` selects targets, and ``PORTABLE_BP_REQUIRE=torch,jax`` names backends that must be usable,
  and programs that must be installed: chromium, pdflatex.
- ``PORTABLE_BP_WITHOUT=torch,onnx`` hides libraries, also from the processes that tests start (`tests/hidden`).
- A test that needs an optional library that is not installed is skipped, with the error's message as the reason.
- ``PORTABLE_BP_NOTES=path`` records in a file which files of tests ask for which optional libraries, in any way.
"""

import collections
import importlib.util
import os

# scikit-learn's array_api_dispatch wants it to be set before SciPy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# Matrices are small here: threads that wait for each other while another process runs cost far more than they gain.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import hypothesis
import pytest

from tests.hidden.sitecustomize import HIDDEN, note
from tests.support.optional_libraries import ABSENT, imports, mentioned, skip_if_absent
from tests.support.targets import SELECTED, TARGETS, Target, arranged, check_environment, usable, why_unusable

hypothesis.settings.register_profile("default", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.register_profile("few", hypothesis.settings.get_profile("default"), max_examples=5)
hypothesis.settings.load_profile("default")

passed = collections.Counter()  # tests by target


def pytest_configure():
    check_environment()


# Which targets a test runs on.


@pytest.fixture
def on_target(request, monkeypatch):
    """Run the test once on every usable target."""
    request.node.user_properties.append(("on_target", request.param))
    with arranged(request.param, monkeypatch):
        yield Target(request.param)


@pytest.fixture(scope="session")
def torch():
    """PyTorch, as an oracle."""
    import torch

    return torch


@pytest.fixture
def no_windows():
    """Draw without a display, and close what was drawn."""
    import matplotlib
    from matplotlib import pyplot

    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    pyplot.close("all")
    matplotlib.use(backend)


def pytest_generate_tests(metafunc):
    marked = (mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "on_target" in metafunc.fixturenames and not any("on_target" in names for names in marked):
        metafunc.parametrize("on_target", TARGETS, indirect=True)


def pytest_collection_modifyitems(config, items):
    """Deselect tests on targets that are not usable, and all but one test of a file whose oracle is not installed.

    The end of the output says why, and so does that one test.
    """
    kept, left_out, files = [], [], set()
    for item in items:
        leave = lacks_target(item) or lacks_checked_library(item)
        if not leave and "torch" in ABSENT and "torch" in getattr(item, "fixturenames", ()):
            leave = item.path in files
            files.add(item.path)
        (left_out if leave else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def lacks_target(item):
    name = parameter(item, "on_target")
    return name in TARGETS and name not in usable()


def lacks_checked_library(item):
    """Return whether one of scikit-learn's own checks wants arrays of a library that is not installed."""
    library = getattr(parameter(item, "check"), "keywords", {}).get("array_namespace", "numpy").partition(".")[0]
    return importlib.util.find_spec(library) is None


def parameter(item, name):
    """Return a parameter of a test, or None."""
    return item.callspec.params.get(name) if hasattr(item, "callspec") else None


# What a missing library does: the file or the test that needs it is skipped.


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
    imports.missing.clear()
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


# What is printed at the end: how many tests passed on each target.


def pytest_runtest_logreport(report):
    if report.when == "call" and report.passed:
        passed.update(name for key, name in report.user_properties if key == "on_target")


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("targets")
    for name in TARGETS:
        reason = "not among PORTABLE_BP_TARGETS" if name not in SELECTED else why_unusable(name) or "no test asked for it"
        terminalreporter.line(f"{name:<16}{f'{passed[name]} tests passed' if passed[name] else f'none: {reason}'}")
    if HIDDEN:
        terminalreporter.line(f"hidden: {', '.join(sorted(HIDDEN))}")
