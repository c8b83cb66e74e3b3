"""Where scripts/gpu measures, and what: a CUDA device, or the processor, on which a run is rehearsed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import platform
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import portable_bp as bp
from scripts.benchmarking.cases import ADAM, CASES, Case
from scripts.benchmarking.contestants import EVERYONE, ON_GPU, Contestant, TorchCompiled, why_not

_TRY = """
import json, sys
import portable_bp as bp
reasons = {}
for flag in sys.argv[1:]:
    try:
        bp.select_backend(flag)
    except Exception as error:
        reasons[flag] = str(error)
print(json.dumps(reasons))
"""
LIBRARIES = ("numpy", "cupy", "cupy-cuda12x", "cupy-cuda13x", "nvmath-python", "torch", "jax")


@dataclass(frozen=True)
class Networks(Case):
    """Many networks of one size, trained one after the other: each has a fit of its own.

    Attributes
    ----------
    networks : int
        How many there are.
    sample : int
        How many of them are trained, to measure what one takes.
    """

    networks: int = 4096
    sample: int = 8

    @property
    def name(self) -> str:
        """How many of which sizes."""
        return f"{self.networks} of {super().name}"


def title(case: Case) -> str:
    """Return what tells a case from all others.

    Parameters
    ----------
    case : Case
        Any.
    """
    return f"{case.name} {case.pieces.optimizer} {case.precision}"


@dataclass(frozen=True)
class Place:
    """Where a run measures, and what.

    Attributes
    ----------
    flag : str
        Of the backend that the run is about.
    kinds : tuple of type
        Who takes part.
    cases : tuple of Case
        What is measured, the most important first.
    turn, epoch : float
        How many seconds of steps make a turn, and how many an epoch may take.
    copied : int
        How many numbers are copied, to see how fast the memory is.
    tests : str
        The files of the tests.
    """

    flag: str
    kinds: tuple[type[Contestant], ...]
    cases: tuple[Case, ...]
    turn: float
    epoch: float
    copied: int
    tests: str


_TINY, _SMALL, _PLAIN, _DEEP, _WIDE = (
    replace(case, batch=batch, steps=steps)
    for case, batch, steps in zip(CASES, (4, 32, 128, 1024, 4096), (2048, 1024, 256, 64, 16), strict=True)
)
_WIDEST = Case((8192, 8192, 8192), 8192, 4)
_ONE_BY_ONE = Networks(_TINY.sizes, _TINY.batch, 64)


def _at_every_precision(case: Case) -> list[Case]:
    return [replace(case, precision=precision) for precision in ("float32", "tf32", "mixed")]


GPU = Place(
    flag="cupy",
    kinds=ON_GPU,
    cases=(
        _TINY,
        _SMALL,
        *(case for each in (_DEEP, _WIDE, _WIDEST) for case in _at_every_precision(each)),
        *(replace(case, pieces=ADAM) for case in (_TINY, _SMALL, _DEEP, _WIDE)),
        _ONE_BY_ONE,
        _PLAIN,
        *(replace(case, pieces=ADAM) for case in (_PLAIN, _WIDEST, _ONE_BY_ONE)),
    ),
    turn=0.1,
    epoch=0.5,
    copied=2**28,
    tests="tests/**/test_*.py",
)
REHEARSAL = Place(
    flag="numpy",
    kinds=tuple(kind for kind in EVERYONE if kind.needs != "sklearn" and not issubclass(kind, TorchCompiled)),
    cases=(replace(_TINY, steps=64), replace(_SMALL, steps=16, pieces=ADAM), replace(_ONE_BY_ONE, steps=4, sample=2)),
    turn=0.01,
    epoch=0.05,
    copied=2**20,
    tests="tests/algorithm/test_[is]*.py",
)


def describe(place: Place) -> dict[str, Any]:
    """Return what the numbers depend on, and nothing that names the machine.

    Parameters
    ----------
    place : Place
        Where they are measured.
    """
    versions = {"portable_bp": bp.__version__}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    software = {"system": platform.system(), "python": platform.python_version(), "libraries": versions}
    return (_gpu() if place is GPU else {"name": "processor, as a rehearsal", "memory": 0}) | software


def _gpu() -> dict[str, Any]:
    from cupy.cuda import Device, runtime

    found = runtime.getDeviceProperties(0)
    return {
        "name": found["name"].decode(),
        "memory": found["totalGlobalMem"],
        "compute capability": Device(0).compute_capability,
        "driver": _driver(),
        "CUDA of the driver": _cuda(runtime.driverGetVersion()),
        "CUDA runtime": _cuda(runtime.runtimeGetVersion()),
    }


def _cuda(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return said.partition("\n")[0].strip() or None


def file_name(gpu: str) -> str:
    """Return the name of the file for a GPU's results.

    Parameters
    ----------
    gpu : str
        As its driver names it.
    """
    words = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    return f"nvidia-{words.removeprefix('nvidia-')}.json"


def out_of_reach(place: Place) -> dict[str, str]:
    """Return the flags of the backends that take part and cannot be used here, and what else is missing, with reasons.

    Parameters
    ----------
    place : Place
        Where they take part.
    """
    here = {kind.needs: reason for kind in place.kinds if ":" not in kind.needs and (reason := why_not(kind))}
    flags = sorted({kind.needs for kind in place.kinds if ":" in kind.needs})
    # In a process of its own, since what looks for a device keeps some of its memory.
    said = subprocess.run([sys.executable, "-c", _TRY, *flags], check=True, capture_output=True, text=True).stdout
    if place is GPU and importlib.util.find_spec("nvmath") is None:
        here["nvmath-python"] = "it is not installed, so that a step on CuPy is no CUDA graph, and slower"
    return here | json.loads(said)
