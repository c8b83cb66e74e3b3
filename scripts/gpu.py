"""The tests, the demo and the benchmark on a CUDA GPU, one after the other, within eight minutes."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = {  # with the modules that it needs
    "tests": ("pytest", "hypothesis", "sklearn"),
    "demo": ("sklearn", "matplotlib", "tqdm"),
    "benchmark": ("sklearn", "tqdm"),
}
HINT = "scripts/gpu --rehearse does the same on a small scale without a GPU."


def options(given: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/gpu",
        description=__doc__,
        epilog="With --python PYTHON, all runs in that Python instead of .venv, and nothing is installed into it.",
    )
    parser.add_argument("--rehearse", action="store_true", help="do the same on a small scale on the processor, as a trial")
    parser.add_argument("--only", help=f"what to do, some of {','.join(WORK)}")
    parser.add_argument("--cases", help="what to measure, such as 2-4-3-2,64-32-10,digits,populations")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds to measure at most (default: 5)")
    parser.add_argument("--seconds", type=float, default=480.0, help="how long all of it may take (default: 480)")
    parser.add_argument("--output", type=Path, help="the file for the results (default: scripts/results/NAME-OF-THE-GPU.json)")
    parser.add_argument(
        "--report", action="store_true", help="only write the guide's page on performance again, from the existing results"
    )
    chosen = parser.parse_args(given)
    if chosen.rounds < 1:
        parser.error(f"--rounds is {chosen.rounds}, but must be a whole number from 1 up.")
    if not chosen.seconds >= 60.0:
        parser.error(f"--seconds is {chosen.seconds:g}, but must be 60 or more.")
    chosen.work = list(WORK) if chosen.only is None else [name for name in chosen.only.split(",") if name]
    if not chosen.work or not set(chosen.work) <= WORK.keys():
        parser.error(f"--only is {chosen.only!r}, but must name some of {','.join(WORK)}.")
    chosen.whole = not (chosen.rehearse or chosen.only or chosen.cases or chosen.output or chosen.rounds < 5)
    return chosen


def missing(chosen: argparse.Namespace) -> list[str]:
    """Return the modules that are needed for what is chosen and that this Python lacks."""
    needed = ["numpy", "array_api_compat", *([] if chosen.rehearse else ["cupy"])]
    needed += [module for name in chosen.work for module in WORK[name]]
    return [module for module in dict.fromkeys(needed) if importlib.util.find_spec(module) is None]


def main() -> int:
    """Do what the command line asks for, and return the exit code."""
    chosen = options()
    if chosen.output:
        chosen.output = chosen.output.resolve()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    if chosen.report:
        from scripts.benchmarking.gpu_run import report_gpus

        return report_gpus()
    if lacking := missing(chosen):
        return refuse(f"{sys.executable} has no {', '.join(lacking)}: install it, or let scripts/gpu make a .venv. {HINT}")
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # JAX would take three quarters of the GPU's memory
    if chosen.rehearse:
        os.environ |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    import portable_bp as bp
    from scripts.benchmarking.gpu_run import GpuRun
    from scripts.benchmarking.places import GPU, REHEARSAL

    place = REHEARSAL if chosen.rehearse else GPU
    try:
        bp.select_backend(place.flag)
    except (ImportError, bp.BackendUnavailableError) as error:
        return refuse(f"{error} {HINT}")
    known = list(dict.fromkeys(item.name for item in place.items))
    names = chosen.cases.split(",") if chosen.cases else known
    if unknown := set(names) - set(known):
        return refuse(f"--cases names {', '.join(sorted(unknown))}, but must name some of {', '.join(known)}.")
    return GpuRun(chosen, place).run([item.title for item in place.items if item.name in names])


def refuse(reason: str) -> int:
    """Print why nothing is done, and return the exit code."""
    print(f"scripts/gpu: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
