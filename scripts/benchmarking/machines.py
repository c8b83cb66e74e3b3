"""What the numbers depend on: the processor or GPU, and the versions of the software; nothing that identifies the machine."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import portable_bp as bp
from scripts.benchmarking.contestants import why_unavailable
from scripts.benchmarking.places import Place

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
ON_CPU = ("numpy", "torch", "jax", "scikit-learn")
ON_GPU = ("numpy", "cupy", "cupy-cuda12x", "cupy-cuda13x", "nvmath-python", "torch", "jax")


def _software(names: Iterable[str]) -> dict[str, Any]:
    versions = {"portable_bp": bp.__version__}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {"system": platform.system(), "python": platform.python_version(), "libraries": versions}


def describe_processor(threads: int) -> dict[str, Any]:
    """Return the processor, how many threads each library may use, and the software."""
    from threadpoolctl import threadpool_info

    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        processor = found.group(1) if found else processor
    blas = next((one for one in threadpool_info() if one["user_api"] == "blas"), {})
    products = f"{blas.get('internal_api', 'unknown')} {blas.get('version', '')} for {blas.get('architecture', 'unknown')}"
    return {"processor": processor, "threads": threads, "blas": products} | _software(ON_CPU)


def describe_device(place: Place) -> dict[str, Any]:
    """Return the GPU, or that it is a rehearsal, and the software."""
    device = _gpu() if place.name == "gpu" else {"name": "processor, as a rehearsal", "memory": 0}
    return device | _software(ON_GPU)


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
        output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return output.partition("\n")[0].strip() or None


def file_name(gpu: str) -> str:
    """Return the name of the file for the results of a GPU, from the name that its driver gives it."""
    words = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    return f"nvidia-{words.removeprefix('nvidia-')}.json"


def unavailable(place: Place) -> dict[str, str]:
    """Return the backends of a place's contestants that cannot be used here, and other missing libraries, with the reasons."""
    reasons = {kind.needs: why for kind in place.kinds if ":" not in kind.needs and (why := why_unavailable(kind))}
    flags = sorted({kind.needs for kind in place.kinds if ":" in kind.needs})
    # In a process of its own: a library that looks for a device keeps some of its memory.
    output = subprocess.run([sys.executable, "-c", _TRY, *flags], check=True, capture_output=True, text=True).stdout
    if place.name == "gpu" and importlib.util.find_spec("nvmath") is None:
        reasons["nvmath-python"] = "it is not installed: steps on CuPy do not run as CUDA graphs, and are slower"
    return reasons | json.loads(output)
