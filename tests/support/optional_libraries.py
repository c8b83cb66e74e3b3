"""Skip what needs an optional library that is not installed, and record which files of tests ask for which library."""

import functools
import importlib
import importlib.util
import inspect
import re
import traceback
from pathlib import Path

import pytest

import portable_bp as bp
from portable_bp.common import lookup
from tests.hidden.sitecustomize import OPTIONAL, note

ABSENT = {name for name in OPTIONAL if importlib.util.find_spec(name) is None}
BACKEND_OF = {"array_api_strict": "strict", "cupy": "cupy", "jax": "jax", "torch": "torch"}  # keys: libraries
PACKAGE = Path(bp.__file__).parent
ROOT = Path(__file__).parents[2]


class RecordingImporter:
    """Replaces importlib in `require`: records what the package asks for and what it does not find."""

    def __init__(self):
        self.missing = []

    def import_module(self, name):
        note(name.partition(".")[0])
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            self.missing.append(error)
            raise


imports = lookup.importlib = RecordingImporter()


def skip_if_absent(error, node):
    """Skip a test that failed because an optional library is not installed, unless the package should not have asked for it.

    An error that the package raises about a backend's library counts only in a test that names this backend: no other test
    should ask for it. Commands print such an error instead of raising it, so the failed imports are looked through too, but
    for libraries of backends, which the package tries to import on its own.
    """
    name = str(getattr(error, "name", None)).partition(".")[0]
    if isinstance(error, ImportError) and name in ABSENT:
        files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
        last = [path for path in files if path.suffix == ".py"][-1]
        required = last == Path(lookup.__file__) and (name not in BACKEND_OF or names_backend(node, name))
        if PACKAGE not in last.parents or required:
            pytest.skip(str(error), allow_module_level=True)
    for each in imports.missing:
        if each.name in ABSENT - BACKEND_OF.keys():
            pytest.skip(f"{each.name} is not installed, which this needs", allow_module_level=True)


def names_backend(node, library):
    """Return whether a test's name, parameters or source name the backend of a library."""
    lines = inspect.getsource(node.function) if hasattr(node, "function") else ""
    return re.search(rf"(?<![a-z]){BACKEND_OF[library]}(?![a-z])", node.nodeid + lines) is not None


ASKS_FOR_TARGETS = re.compile(r"\b(TARGETS|usable|why_unusable)\b")


@functools.cache
def mentioned(path):
    """Return the optional libraries that a file of tests mentions, by itself or in the helpers that it imports.

    The fixture that runs a test on every target mentions none: its targets are chosen by what is installed.
    """
    text = path.read_text(encoding="utf-8")
    names = {name for name in OPTIONAL if re.search(rf"\b{name}\b", text)}
    if "estimators" in text:
        names.add("sklearn")
    imports_of_tests = re.findall(r"^from (tests[\w.]*) import (.*)", text, re.MULTILINE)
    if "available_backends" in text or any(ASKS_FOR_TARGETS.search(imported) for _, imported in imports_of_tests):
        names |= BACKEND_OF.keys()
    for package, imported in imports_of_tests:
        for module in (package, *(f"{package}.{name}" for name in imported.split(", "))):
            helper = (ROOT / module.replace(".", "/")).with_suffix(".py")
            if helper.exists() and module != "tests.support.targets":
                names |= mentioned(helper)
    return names
