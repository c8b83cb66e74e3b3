"""The benchmark from end to end: measure what was asked for, write it down as it comes, tell it."""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib.metadata
import importlib.util
import json
import platform
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

import portable_bp as bp
from scripts.benchmarking import pictures, report
from scripts.benchmarking.cases import ADAM, SGD, Case, draw
from scripts.benchmarking.contestants import EVERYONE, Contestant
from scripts.benchmarking.fits import fit_times
from scripts.benchmarking.growth import growth_with_samples, growth_with_weights
from scripts.benchmarking.processes import import_time, install_size, peak_memory
from scripts.benchmarking.rounds import Turn, measure, steps_in
from scripts.benchmarking.turns import TRAINING, assemble, by_what, turns_of

README = Path(__file__).parents[2] / "README.md"
PREDICTIONS = ("inference",)


def run(chosen: argparse.Namespace) -> int:
    """Measure, and return the exit code.

    Parameters
    ----------
    chosen : argparse.Namespace
        What the command line asks for: cases, wanted, rounds, quick, threads, output, readme.
    """
    if chosen.readme:
        return tell(chosen.output)
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(chosen.threads)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    results = begun(chosen)

    def keep() -> None:
        chosen.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    keep()  # before anything is measured: it may not be possible
    if chosen.wanted.intersection((*TRAINING, *PREDICTIONS)):
        for case in chosen.cases:
            for pieces in (SGD, ADAM):
                of_pieces = replace(case, pieces=pieces, steps=case.steps // (8 if chosen.quick else 1))
                put_in(results["cases"], measure_case(of_pieces, chosen.wanted, chosen.rounds, chosen.quick))
                gc.collect()
                keep()
    others: dict[str, Callable[[], Any]] = {
        "fit": lambda: fit_times(chosen.threads, chosen.rounds or 7),
        "growth": lambda: {
            "weights": growth_with_weights(10**5 if chosen.quick else 10**8),
            "samples": growth_with_samples(10**5 if chosen.quick else 10**6),
        },
        "memory": peak_memory,
        "import": lambda: import_time(5 if chosen.quick else 21),
        "install": install_size,
    }
    for name, find in others.items():
        if name in chosen.wanted:
            results[name] = find()
            keep()
    print(report.as_text(results))
    print(f"Written: {chosen.output}")
    if results["whole"]:
        return tell(chosen.output)
    for path in pictures.draw(results, chosen.output):
        print(f"Written: {path}")
    return 0


def begun(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the results to begin with: those that are there, where a part of a whole run's is to be measured anew.

    Parameters
    ----------
    chosen : argparse.Namespace
        What the command line asks for.
    """
    new = {
        "date": datetime.date.today().isoformat(),
        "whole": chosen.whole,
        "machine": machine(chosen.threads),
        "cases": [],
    }
    if chosen.whole or chosen.quick or not chosen.output.exists():
        return new
    there = json.loads(chosen.output.read_text(encoding="utf-8"))
    same = there["whole"] and there["machine"] == new["machine"]
    return there | {"date": new["date"]} if same else new


def put_in(cases: list[dict[str, Any]], measured: dict[str, Any]) -> None:
    """Put what was measured of a case into the results, beside what else is there of it.

    Parameters
    ----------
    cases : list of dict
        The results'; changed.
    measured : dict
        As `measure_case` returns it.
    """
    for case in cases:
        if (case["name"], case["optimizer"]) == (measured["name"], measured["optimizer"]):
            case |= measured | {"seconds": case["seconds"] | measured["seconds"]}
            return
    cases.append(measured)


def tell(output: Path) -> int:
    """Write README's table and the pictures anew, and return the exit code.

    Parameters
    ----------
    output : Path
        The results of a whole run.
    """
    try:
        results = json.loads(output.read_text(encoding="utf-8"))
        if not results["whole"]:
            print(f"scripts/benchmark: {output} is of a run that was quick or left things out: README takes a whole one's.")
            return 2
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"scripts/benchmark: {output} holds no results that can be read ({error!r}): measure first.")
        return 2
    README.write_text(report.put_into(README.read_text(encoding="utf-8"), results), encoding="utf-8")
    for path in [README, *pictures.draw(results, output)]:
        print(f"Written: {path}")
    return 0


def measure_case(case: Case, wanted: set[str], rounds: int | None, quick: bool) -> dict[str, Any]:
    """Return what every contestant takes for a step, in an epoch, and to predict.

    Parameters
    ----------
    case : Case
        What is trained.
    wanted : set of str
        Of "step", "epoch" and "inference".
    rounds : int or None
        How many; None leaves it to the case.
    quick : bool
        Whether turns are short, and what must be compiled for long is left out.
    """
    few = 3 if quick or case.weights > 10**7 else 7
    here, distances, left_out = assemble(case, draw(case), EVERYONE, "it compiles for too long to be quick" if quick else None)
    seconds = {}
    if wanted.intersection(TRAINING):
        seconds |= train_in_turns(here, wanted, rounds or few, 0.05 if quick else 0.3)
    if "inference" in wanted:
        for samples in (1, 10_000):
            seconds[f"inference of {samples:,}"] = predict_in_turns(here, samples, rounds or 3)
    return {
        "name": case.name,
        "batch": case.batch,
        "steps": case.steps,
        "optimizer": case.pieces.optimizer,
        "weights": case.weights,
        "distance_to_float64": distances,
        "seconds": seconds,
        "left_out": left_out,
    }


def train_in_turns(here: list[Contestant], wanted: set[str], rounds: int, turn: float) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of a step, on ready batches and in an epoch, for everyone.

    Parameters
    ----------
    here : list of Contestant
        Who takes part.
    wanted : set of str
        Of "step" and "epoch".
    rounds : int
        How many.
    turn : float
        How many seconds of steps make a turn.
    """
    case = here[0].case
    turns: dict[tuple[str, str], Turn] = {}
    for contestant in here:
        turns |= turns_of(contestant, wanted, turn)
    with tqdm(total=rounds * len(turns), desc=f"{case.name} {case.pieces.optimizer}", unit="turn", leave=False) as bar:
        seconds = measure(turns, rounds, bar.update)
    return by_what(seconds, wanted)


def predict_in_turns(here: list[Contestant], samples: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of a prediction, for everyone.

    Parameters
    ----------
    here : list of Contestant
        Who takes part.
    samples : int
        How many are predicted at a time.
    rounds : int
        How many.
    """
    case = here[0].case
    x = draw(case, samples).x
    turns: dict[str, Turn] = {}
    for contestant in here:
        predict = _predicting(contestant, contestant.place(x))
        turns[contestant.name] = Turn(predict, steps_in(0.05, predict, 10_000), 1)
    with tqdm(total=rounds * len(turns), desc=f"{case.name} predict {samples:,}", unit="turn", leave=False) as bar:
        return measure(turns, rounds, bar.update)


def _predicting(contestant: Contestant, x: Any) -> Callable[[int], None]:
    def predict(count: int) -> None:
        for _ in range(count):
            contestant.predict(x)

    return predict


def machine(threads: int) -> dict[str, Any]:
    """Return what the numbers depend on, and nothing that names the machine.

    Parameters
    ----------
    threads : int
        How many each library may use.
    """
    from threadpoolctl import threadpool_info

    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        processor = found.group(1) if found else processor
    blas = next((one for one in threadpool_info() if one["user_api"] == "blas"), {})
    libraries = {"portable_bp": bp.__version__}
    for name in ("numpy", "torch", "jax", "scikit-learn"):
        try:
            libraries[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor,
        "threads": threads,
        "system": platform.system(),
        "python": platform.python_version(),
        "libraries": libraries,
        "blas": f"{blas.get('internal_api', 'unknown')} {blas.get('version', '')} for {blas.get('architecture', 'unknown')}",
    }
