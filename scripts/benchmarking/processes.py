"""What must be measured in a separate process: peak memory, the time of an import, and the size of an installation."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import portable_bp

DATA = """
import numpy as np
x = np.random.default_rng(0).random((60_000, 784), dtype="float32")
target = np.random.default_rng(1).integers(0, 10, 60_000)
"""
OURS = """
import portable_bp as bp
network = bp.Network([784, 512, 512, 10], "relu", "identity", backend="numpy", seed=0)
network.fit(x, target, "cross_entropy", "adam", epochs=2, batch_size=256)
"""
SCIKIT_LEARN = """
import warnings
from sklearn.neural_network import MLPClassifier
warnings.simplefilter("ignore")
MLPClassifier((512, 512), alpha=0.0, batch_size=256, max_iter=2, random_state=0).fit(x, target)
"""
# The peak memory of the process itself, in bytes: getrusage may report its parent's.
PRINT_PEAK = """
import pathlib, resource, sys
status = pathlib.Path("/proc/self/status")
if status.exists():
    print(1024 * int(status.read_text().partition("VmHWM:")[2].split()[0]))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""
NOT_IMPORTED = {"cupy", "torch", "jax", "sklearn", "matplotlib"}  # with portable_bp


def peak_memory() -> dict[str, float]:
    """Return the peak memory in MB of fitting 784-512-512-10 on 60,000 samples, each in a separate process."""
    fits = {"data alone": "", "portable_bp": OURS}
    if importlib.util.find_spec("sklearn") is not None:
        fits["scikit-learn"] = SCIKIT_LEARN
    return {name: float(_run(DATA + code + PRINT_PEAK)) / 1e6 for name, code in fits.items()}


def import_time(rounds: int) -> dict[str, Any]:
    """Return the seconds of imports less Python's own start, one a round, and which other libraries ours imports."""
    codes = {
        "python": "pass",
        "numpy": "import numpy",
        "portable_bp": "import portable_bp",
        "portable_bp.Network": "import portable_bp; portable_bp.Network",
    }
    seconds: dict[str, list[float]] = {name: [] for name in codes}
    for code in codes.values():
        _run(code)  # so that the files are in the system's cache
    for _ in range(rounds):
        for name, code in codes.items():
            began = time.perf_counter()
            _run(code)
            seconds[name].append(time.perf_counter() - began)
    start = seconds.pop("python")
    took = {name: [one - bare for one, bare in zip(each, start, strict=True)] for name, each in seconds.items()}
    code = f"import sys, portable_bp; portable_bp.Network; print(*({NOT_IMPORTED!r} & sys.modules.keys()))"
    return {"seconds": took, "unasked": _run(code).split()}


def install_size() -> dict[str, float]:
    """Return the sizes in MB of packages with all their dependencies, as they are installed here."""
    closures = {name: _closure(name) for name in ("portable-bp", "torch", "jax", "scikit-learn")}
    return {name: sum(map(_size, closure)) / 1e6 for name, closure in closures.items() if closure}


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def _closure(name: str, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return a distribution and its installed dependencies, without extras."""
    canonical = re.sub(r"[-_.]+", "-", name).lower()
    if canonical in known:
        return known
    try:
        needed = importlib.metadata.requires(canonical) or []
    except importlib.metadata.PackageNotFoundError:
        return known
    known |= {canonical}
    for requirement in needed:
        if "extra ==" not in requirement:
            known = _closure(re.split(r"[^\w.-]", requirement, maxsplit=1)[0], known)
    return known


def _size(name: str) -> int:
    """Return the bytes of a distribution's files, without compiled ones."""
    if name == "portable-bp":  # which may be installed from its folder
        paths = [path for path in Path(portable_bp.__file__).parent.rglob("*") if path.is_file()]
    else:
        paths = [Path(str(file.locate())) for file in importlib.metadata.files(name) or []]
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file())
