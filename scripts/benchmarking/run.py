"""The benchmark from end to end: measure what was asked for, write it down, tell it."""

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

from scripts.benchmarking import report
from scripts.benchmarking.cases import ADAM, CASES, SGD, Case, draw
from scripts.benchmarking.contestants import Contestant, Ours, TorchCompiled, check, installed
from scripts.benchmarking.growth import growth_with_samples, growth_with_weights
from scripts.benchmarking.processes import import_time, install_size, peak_memory
from scripts.benchmarking.rounds import Turn, measure, steps_in

EVERYTHING = "step,epoch,inference,memory,growth,import,install"
QUICK = "step,inference,import,install"


def run(chosen: argparse.Namespace) -> int:
    """Measure, and return the exit code.

    Parameters
    ----------
    chosen : argparse.Namespace
        What the command line asks for.
    """
    output = Path(chosen.output)
    if chosen.readme:
        report.write_readme(Path("README.md"), json.loads(output.read_text(encoding="utf-8")))
        return 0
    known = {case.name: case for case in CASES}
    names = chosen.cases.split(",") if chosen.cases else [name for name in known if not (chosen.quick and "4096" in name)]
    if unknown := [name for name in names if name not in known]:
        print(f"scripts/benchmark: --cases names {', '.join(unknown)}: the known ones are {', '.join(known)}.")
        return 2
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(chosen.threads)
    wanted: set[str] = set((chosen.only or (QUICK if chosen.quick else EVERYTHING)).split(","))
    rounds = chosen.rounds or (3 if chosen.quick else 9)
    results: dict[str, Any] = {"date": datetime.date.today().isoformat(), "machine": machine(chosen.threads), "cases": []}
    for name in names:
        for pieces in (SGD, ADAM):
            case = replace(known[name], pieces=pieces, steps=known[name].steps // (8 if chosen.quick else 1))
            few = min(rounds, 5) if case.weights > 10**7 else rounds
            results["cases"].append(measure_case(case, wanted, few, chosen.quick))
    extras: dict[str, tuple[str, Callable[[], Any]]] = {
        "memory": ("memory_mb", peak_memory),
        "import": ("import_seconds", lambda: import_time(5 if chosen.quick else 21)),
        "install": ("install_mb", install_size),
    }
    if "growth" in wanted:
        results["growth_with_weights"] = growth_with_weights(10**5 if chosen.quick else 10**8)
        results["growth_with_samples"] = growth_with_samples(10**5 if chosen.quick else 10**6)
    for name, (key, find) in extras.items():
        if name in wanted:
            results[key] = find()
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(report.as_text(results))
    for path in [output, *report.draw(results, output.parent)]:
        print(f"Written: {path}")
    return 0


def measure_case(case: Case, wanted: set[str], rounds: int, quick: bool) -> dict[str, Any]:
    """Return what every contestant takes for a step, in an epoch, and to predict.

    Parameters
    ----------
    case : Case
        What is trained.
    wanted : set of str
        Of "step", "epoch" and "inference".
    rounds : int
        How many.
    quick : bool
        Whether turns are short, and what must be compiled first is left out.
    """
    data = draw(case)
    turn = 0.05 if quick else 0.3  # seconds
    here: list[Contestant] = []
    left_out: dict[str, str] = {}
    distances: dict[str, float] = {}
    found: dict[str, Any] = {}
    for kind in installed():
        if quick and kind is TorchCompiled:
            left_out[kind.name] = "it compiles for too long to be quick"
            continue
        try:
            contestant = kind(case, data)
            if contestant.name != "floor":
                distances[contestant.name] = check(contestant)
            here.append(contestant)
        except ValueError:
            raise
        except Exception as error:  # such as a compiler that is not there
            left_out[kind.name] = str(error).strip().partition("\n")[0][:200]
    turns: dict[str, Turn] = {}
    kinds = [what for what in ("step", "epoch") if what in wanted]
    for contestant in here:
        if isinstance(contestant, Ours):
            contestant.steps(case.steps)  # so that all that will be compiled is
            turns[contestant.name] = Turn(contestant.steps, case.steps, min(case.steps, 8))
            continue
        for what in kinds:
            function = contestant.steps if what == "step" else contestant.epoch
            if function is not None:
                count = steps_in(turn, function, case.steps)
                turns[f"{contestant.name}, {what}"] = Turn(function, count, min(count, 8))
    if kinds:
        seconds = _measured(f"{case.name} {case.pieces.optimizer}", turns, rounds)
        for what in kinds:
            # An epoch of ours is its steps: it always shuffles and gathers.
            found[what] = {
                name.removesuffix(f", {what}"): took
                for name, took in seconds.items()
                if name.endswith(f", {what}") or name.startswith("portable_bp")
            }
    if "inference" in wanted:
        for samples in (1, 10_000):
            x = draw(case, samples).x
            predictions: dict[str, Turn] = {}
            for contestant in here:
                if contestant.predict is not None:
                    predict = _predicting(contestant, contestant.place(x))
                    predict(1)
                    predictions[contestant.name] = Turn(predict, steps_in(turn / 4, predict, 10_000), 1)
            found[f"inference of {samples:,}"] = _measured(f"{case.name} predict {samples:,}", predictions, max(3, rounds // 3))
    del here
    gc.collect()
    return {
        "name": case.name,
        "batch": case.batch,
        "steps": case.steps,
        "optimizer": case.pieces.optimizer,
        "weights": case.weights,
        "distance_to_float64": distances,
        "seconds": found,
        "left_out": left_out,
    }


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
    libraries = {}
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


def _predicting(contestant: Contestant, x: Any) -> Callable[[int], None]:
    def predict(count: int) -> None:
        for _ in range(count):
            contestant.predict(x)

    return predict


def _measured(label: str, turns: dict[str, Turn], rounds: int) -> dict[str, list[float]]:
    with tqdm(total=rounds * len(turns), desc=label, unit="turn", leave=False) as bar:
        return measure(turns, rounds, bar.update)
