"""What only a process of its own shows: the memory that training takes, the time of an import, the size of an installation."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import time
from typing import Any

from scripts.benchmarking.rounds import quartiles

PREPARE = """
import numpy as np
x = np.random.default_rng(0).random((60_000, 784), dtype="float32")
target = np.random.default_rng(1).integers(0, 10, 60_000)
"""
OURS = """
import portable_bp as bp
network = bp.Network([784, 512, 512, 10], "relu", "identity", backend="numpy", seed=0)
network.fit(x, target, "cross_entropy", "adam", epochs=EPOCHS, batch_size=256)
"""
SCIKIT_LEARN = """
import warnings
from sklearn.neural_network import MLPClassifier
warnings.simplefilter("ignore")
MLPClassifier((512, 512), alpha=0.0, batch_size=256, max_iter=EPOCHS, random_state=0).fit(x, target)
"""
# The greatest memory of the process itself: that of getrusage may be its parent's.
TELL = """
import pathlib, resource
status = pathlib.Path("/proc/self/status")
kilobytes = status.read_text().partition("VmHWM:")[2].split()[0] if status.exists() else resource.getrusage(0).ru_maxrss
print(int(kilobytes) / 1e3)
"""
UNASKED = ("cupy", "torch", "jax", "sklearn", "matplotlib")


def peak_memory() -> dict[str, float]:
    """Return the peak memory of fitting 784-512-512-10 on 60,000 samples, in MB, each in a process of its own."""
    peaks = {
        "data alone": "",
        "portable_bp": OURS.replace("EPOCHS", "2"),
        "scikit-learn": SCIKIT_LEARN.replace("EPOCHS", "2"),
    }
    return {name: float(_run(PREPARE + code + TELL)) for name, code in peaks.items()}


def import_time(rounds: int) -> dict[str, Any]:
    """Return how long imports take, less Python's own start, and what of others' an import of ours brings in.

    Parameters
    ----------
    rounds : int
        How often each is timed, in turn.
    """
    codes = {
        "python": "pass",
        "numpy": "import numpy",
        "portable_bp": "import portable_bp",
        "portable_bp.Network": "import portable_bp; portable_bp.Network",
    }
    seconds: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(rounds + 1):
        for name, code in codes.items():
            began = time.perf_counter()
            _run(code)
            seconds[name].append(time.perf_counter() - began)
    took = {
        name: quartiles([one - start for one, start in zip(seconds[name][1:], seconds["python"][1:], strict=True)])
        for name in list(codes)[1:]
    }
    found = _run(f"import sys, portable_bp; portable_bp.Network; print([name for name in {UNASKED!r} if name in sys.modules])")
    ratios = {f"{name} to numpy": took[name][1] / took["numpy"][1] for name in list(codes)[2:]}
    return took | ratios | {"unasked": found.strip()}


def install_size() -> dict[str, float]:
    """Return what an installation brings, in MB: a package and all that it depends on."""
    return {name: sum(map(_size, _closure(name))) / 1e6 for name in ("portable-bp", "torch", "jax", "scikit-learn")}


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def _closure(name: str, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the installed distributions that one needs, itself in, without its extras."""
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
    if name == "portable-bp":  # which may be installed from its folder
        import pathlib

        import portable_bp

        return sum(path.stat().st_size for path in pathlib.Path(portable_bp.__file__).parent.rglob("*.py"))
    files = importlib.metadata.files(name) or []
    return sum(path.stat().st_size for file in files if (path := file.locate()).is_file())  # type: ignore[union-attr]
