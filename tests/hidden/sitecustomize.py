"""Hide the libraries that PORTABLE_BP_WITHOUT names, as if they were not installed, and record what tests ask for.

The notes are written to the file that PORTABLE_BP_NOTES names: a line for each library and file of tests. Processes that tests
start do both, too: Python imports a module of this name when it starts, so this folder is put on their PYTHONPATH.
"""

import importlib.machinery
import os
import sys

# The module names of the optional libraries.
OPTIONAL = {
    *("array_api_strict", "cupy", "jax", "jinja2", "matplotlib", "numba", "onnx", "onnxruntime", "pandas", "polars"),
    *("safetensors", "scipy", "sklearn", "torch", "tqdm"),
}
# Libraries that cannot be installed without the key are hidden with it.
REQUIRED_BY = {"scipy": {"sklearn", "jax"}}
DISTRIBUTIONS = {"sklearn": "scikit-learn", "array_api_strict": "array-api-strict"}


_noted = set()


def note(library, asking=None):
    """Note that a file of tests asks for a library; by default, the file of the running test."""
    asking = asking or os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]
    path = os.environ.get("PORTABLE_BP_NOTES")
    if path and asking and library in OPTIONAL and (asking, library) not in _noted:
        _noted.add((asking, library))
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{library} {asking}\n")


class HidingFinder:
    """Finds modules on sys.path, except hidden ones."""

    def __init__(self, finder, hidden):
        self.finder = finder
        self.hidden = hidden

    def find_spec(self, name, path=None, target=None):
        library = name.partition(".")[0]
        note(library)
        return None if library in self.hidden else self.finder.find_spec(name, path, target)

    def find_distributions(self, context):
        if context.name in {DISTRIBUTIONS.get(name, name) for name in self.hidden}:
            return iter(())
        return self.finder.find_distributions(context)

    def __getattr__(self, name):
        return getattr(self.finder, name)


def hide():
    """Hide the libraries that PORTABLE_BP_WITHOUT names, and return their names."""
    hidden = {name for name in os.environ.get("PORTABLE_BP_WITHOUT", "").split(",") if name}
    if hidden - OPTIONAL:
        raise ValueError(f"PORTABLE_BP_WITHOUT names {sorted(hidden - OPTIONAL)}: the known ones are {sorted(OPTIONAL)}")
    for name in hidden & REQUIRED_BY.keys():
        hidden |= REQUIRED_BY[name]
    if imported := hidden & sys.modules.keys():
        raise RuntimeError(f"{sorted(imported)} cannot be hidden: already imported")
    if hidden or "PORTABLE_BP_NOTES" in os.environ:
        path_finder = importlib.machinery.PathFinder
        sys.meta_path[:] = [HidingFinder(each, hidden) if each is path_finder else each for each in sys.meta_path]
        folder = os.path.dirname(__file__)
        others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", folder)]
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, *others])
    return hidden


HIDDEN = hide()
