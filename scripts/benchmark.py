"""Compare training times on this machine's processor with those of other libraries."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

CASES = ("2-4-3-2", "64-32-10", "784-128-10", "784-512-512-10", "1024-4096-4096-1024")
EVERYTHING = ("step", "epoch", "inference", "fit", "populations", "growth", "memory", "import", "install")
QUICK = {"cases": CASES[:-1], "wanted": ("step", "import", "install")}
RESULTS = Path(__file__).parent / "results"


def options(given: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="scripts/benchmark", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="take one minute: steps of all but the widest, in few rounds")
    parser.add_argument(
        "--rounds", type=int, help="how many rounds to measure (default: 7; 3 for the widest, for predictions and if quick)"
    )
    parser.add_argument("--cases", help=f"which networks to measure, some of {','.join(CASES)}")
    parser.add_argument("--only", help=f"what to measure, some of {','.join(EVERYTHING)}")
    parser.add_argument("--threads", type=int, default=cores, help="how many threads each library may use (default: all cores)")
    parser.add_argument(
        "--output",
        type=Path,
        help="the file for the results; a part is updated in those of a whole run; pictures go next to it",
    )
    parser.add_argument(
        "--report", action="store_true", help="only write the guide's page on performance and the pictures again"
    )
    chosen = parser.parse_args(given)
    for name in ("rounds", "threads"):
        number = getattr(chosen, name)
        if number is not None and number < 1:
            parser.error(f"--{name} is {number}, but must be a whole number from 1 up.")
    if chosen.threads < cores and not hasattr(os, "sched_setaffinity"):
        parser.error(f"--threads is {chosen.threads}, but this system cannot keep JAX to fewer than {cores}: leave it out.")

    def named(option: str, text: str | None, known: tuple[str, ...], otherwise: tuple[str, ...]) -> list[str]:
        names = list(otherwise) if text is None else [name for name in text.split(",") if name]
        if not names or not set(names) <= set(known):
            parser.error(f"--{option} is {text!r}, but must name some of {','.join(known)}.")
        return names

    chosen.whole = not (chosen.quick or chosen.cases or chosen.only or chosen.rounds)
    chosen.wanted = set(named("only", chosen.only, EVERYTHING, QUICK["wanted"] if chosen.quick else EVERYTHING))
    chosen.case_names = named("cases", chosen.cases, CASES, QUICK["cases"] if chosen.quick else CASES)
    chosen.output = chosen.output or RESULTS / ("cpu.json" if chosen.whole or chosen.report else "part.json")
    return chosen


def pin(threads: int) -> None:
    """Limit every library to a number of threads of the processor, before any of them is imported."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ.pop("OPENBLAS_CORETYPE", None)  # each library chooses its own kernels
    os.environ |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))


def main() -> int:
    """Measure, and return the exit code."""
    chosen = options()
    pin(chosen.threads)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from scripts.benchmarking.run import run_on_cpu

    return run_on_cpu(chosen)


if __name__ == "__main__":
    sys.exit(main())
