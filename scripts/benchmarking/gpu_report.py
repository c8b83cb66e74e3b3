"""What is told of a run on a GPU: a line for each case as it comes, and the README's table, made from the results alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarking.report import marked, put_between, short
from scripts.benchmarking.rounds import quartiles, ratio

OURS = "portable_bp cupy"
PEERS = ("PyTorch eager", "torch.compile", "JAX jit", "floor")
_SMALL = {"PyTorch eager": 0.5, "torch.compile": 1.0, "JAX jit": 1.0}
_LARGE = {"PyTorch eager": 0.95, "torch.compile": 1.0, "JAX jit": 1.0}
TARGETS = {
    "2-4-3-2": _SMALL,
    "64-32-10": _SMALL,
    "784-512-512-10": _SMALL | {"PyTorch eager": 0.6},
    "1024-4096-4096-1024": _LARGE | {"floor": 1.10},
    "8192-8192-8192": _LARGE | {"floor": 1.05},
}
HOST, EVENTS = "by the host's clock", "by CUDA events"
BEGIN, END = "<!-- measured on a GPU: begin -->", "<!-- measured on a GPU: end -->"
NOTHING = "Nothing has been measured on a GPU yet: there is no figure here until `scripts/gpu` has run on one."


def same_clock(mine: dict[str, list[float]], theirs: dict[str, list[float]]) -> tuple[list[float], list[float]]:
    """Return what two took by the best clock that both were timed by: CUDA events, else the host's.

    Parameters
    ----------
    mine, theirs : dict
        The seconds of a step, one number a round, by the name of the clock.
    """
    clock = EVENTS if EVENTS in mine and EVENTS in theirs else HOST
    return mine[clock], theirs[clock]


def ratios(case: dict[str, Any], ours: str) -> dict[str, tuple[float, float | None]]:
    """Return the ratio of our step to that of each peer who took part, with what it should be at most.

    Parameters
    ----------
    case : dict
        One of the results' cases.
    ours : str
        Who is held against the others.
    """
    seconds = case["seconds"]["step"]
    wanted = TARGETS.get(case["name"], {})
    return {
        peer: (ratio(*same_clock(seconds[ours], seconds[peer]))[1], wanted.get(peer))
        for peer in PEERS
        if peer in seconds and ours in seconds
    }


def tell_case(case: dict[str, Any], ours: str) -> str:
    """Return a case's result in a line.

    Parameters
    ----------
    case : dict
        One of the results' cases.
    ours : str
        Who is held against the others.
    """
    held = ", ".join(f"{_told(*found)} of {peer}" for peer, found in ratios(case, ours).items())
    left_out = "".join(f"; without {name}: {reason}" for name, reason in case["left_out"].items())
    warned = "".join(f"; warned: {each}" for each in case["warnings"])
    return f"{_what(case)}: {_step(case, ours)}; {held}{left_out}{warned}"


def as_markdown(results: Sequence[dict[str, Any]], ours: str = OURS) -> str:
    """Return the README's part on GPUs.

    Parameters
    ----------
    results : sequence of dict
        Of one GPU each, as they are written to JSON; those of runs that failed are not told.
    ours : str
        Who is held against the others.
    """
    return "\n\n".join(_of_one_gpu(each, ours) for each in results if each["passed"]) or NOTHING


def put_into(readme: str, results: Sequence[dict[str, Any]]) -> str:
    """Return the README's text with the part on GPUs between its marks.

    Parameters
    ----------
    readme : str
        As it is.
    results : sequence of dict
        As `as_markdown` takes them.
    """
    return put_between(readme, BEGIN, END, as_markdown(results))


def write(results: dict[str, Any], output: Path) -> None:
    """Write results down, all of them or none.

    Parameters
    ----------
    results : dict
        What was measured until now.
    output : Path
        Where they are kept.
    """
    beside = output.with_suffix(".new")
    beside.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    beside.replace(output)


def read_all(folder: Path) -> list[dict[str, Any]]:
    """Return the results of every GPU that there are.

    Parameters
    ----------
    folder : Path
        Where they are.
    """
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("nvidia-*.json"))]


def _of_one_gpu(results: dict[str, Any], ours: str) -> str:
    device, tests = results["device"], results["tests"]
    libraries = ", ".join(f"{name} {version}" for name, version in device["libraries"].items())
    copied = results["copy"]["bytes_read_and_written"] / quartiles(_best_clock(results["copy"]["seconds"]))[1]
    rounds = sorted(
        {len(took) for case in results["cases"] for who in case["seconds"]["step"].values() for took in who.values()}
    )
    tested = f", where {tests['passed']:,} tests passed, {tests['on']['passed']:,} of them on CuPy" if tests else ""
    lines = [
        f"Measured on {results['date']}, on one {device['name']} (driver {device.get('driver')}, CUDA runtime "
        f"{device.get('CUDA runtime')}, Python {device['python']}, {libraries}){tested}. Each figure is the median of "
        f"{' or '.join(map(str, rounds))} rounds. A step is one of an epoch on CuPy, checks, shuffling and gathering in; the "
        "ratios are its time to theirs, so less is better: by CUDA events, and to JAX, which has none, by the host's clock. "
        "Peers take batches that are ready. The floor is the step's matrix products alone, by CuPy. What was aimed at is in "
        "brackets; a ratio that misses it is bold. The error is the distance from float64 after three steps, relative to the "
        "way that the weights have gone.",
        "",
        f"| network, batch, optimizer, precision | a step | {' | '.join(PEERS)} | error |",
        f"| --- | --: |{' --: |' * len(PEERS)} --: |",
    ]
    for case in results["cases"]:
        found = ratios(case, ours)
        cells = [_told(*found[peer]) if peer in found else "" for peer in PEERS]
        error = case["distance_to_float64"].get(ours)
        cells.append("" if error is None else f"{error:.1e}")
        lines.append(f"| {_what(case)} | {_step(case, ours)} | {' | '.join(cells)} |")
    lines += ["", f"- A copy from device memory to device memory reads and writes {copied / 1e9:,.0f} GB a second."]
    lines += [
        f"- {case['name']} are trained one after the other, each in fits of {case['steps']} steps: that is a step of one of "
        f"{case['sample']}."
        for case in results["cases"]
        if "sample" in case
    ][:1]
    lines += [f"- Without {name}: {reason}" for name, reason in results["without"].items()]
    lines += [f"- Not measured: {name}: {reason}" for name, reason in results["left_out"].items()]
    lines += [f"- Tests left out: {each}" for each in tests.get("left_out", [])]
    lines += [f"- {_what(case)} warned: {each}" for case in results["cases"] for each in case["warnings"]]
    return "\n".join(lines)


def _what(case: dict[str, Any]) -> str:
    return f"{case['name']}, {case['batch']}, {case['optimizer']}, {case['precision']}"


def _step(case: dict[str, Any], ours: str) -> str:
    seconds = case["seconds"]["step"].get(ours)
    return short(quartiles(_best_clock(seconds))[1]) if seconds else "not measured"


def _best_clock(seconds: dict[str, list[float]]) -> list[float]:
    return same_clock(seconds, seconds)[0]


def _told(middle: float, wanted: float | None) -> str:
    return marked(middle, None if wanted is None else middle <= wanted, "" if wanted is None else f"{wanted:.3g}")
