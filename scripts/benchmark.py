"""What training costs on this machine's processor, beside what else could be used for it.

What was tried to make a step fast, and what it gave, is told in the README under "How fast it is".
"""

from __future__ import annotations

import argparse
import os
import sys

MEASURED = ("step", "epoch", "inference", "memory", "growth", "import", "install")
THREADS_OF = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="scripts/benchmark", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within a minute: few rounds, no wide network, no torch.compile")
    parser.add_argument("--rounds", type=int, help="how many; 11 without it, 3 when quick")
    parser.add_argument("--cases", help="the networks to measure, such as 2-4-3-2,784-128-10")
    parser.add_argument("--only", help=f"what to measure, of {', '.join(MEASURED)}")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    parser.add_argument("--output", default="scripts/results/cpu.json", help="where the results go; pictures beside them")
    parser.add_argument("--readme", action="store_true", help="only write README's table again, from --output")
    chosen = parser.parse_args()
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error(f"--rounds is {chosen.rounds}, and should be a whole number from 1 up.")
    unknown = set(chosen.only.split(",") if chosen.only else ()) - set(MEASURED)
    if unknown:
        parser.error(f"--only names {', '.join(sorted(unknown))}: give some of {','.join(MEASURED)}.")
    if chosen.threads < 1:
        parser.error(f"--threads is {chosen.threads}, and should be a whole number from 1 up.")
    return chosen


def pin(threads: int) -> None:
    """Let every library have so many threads, and choose its own kernels: to be called before any of them is imported."""
    for name in THREADS_OF:
        os.environ[name] = str(threads)
    os.environ.pop("OPENBLAS_CORETYPE", None)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))


if __name__ == "__main__":
    CHOSEN = options()
    pin(CHOSEN.threads)
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from scripts.benchmarking.run import run

    sys.exit(run(CHOSEN))
