"""The benchmark from end to end: measure case after case at a place, and write each result as soon as there is one.

The benchmark on a GPU is this module run as a process of its own, so that the next case can be measured after a breakdown.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gc
import importlib.util
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.benchmarking import pictures, report
from scripts.benchmarking.cases import Case
from scripts.benchmarking.fits import FitTask, fit_times
from scripts.benchmarking.growth import growth_with_samples, growth_with_weights
from scripts.benchmarking.machines import describe_processor
from scripts.benchmarking.measuring import first_line, measure_case, measure_copy, measure_fit, measure_population, prepare
from scripts.benchmarking.places import CPU, PLACES, Place
from scripts.benchmarking.populations import PopulationTask, population_times
from scripts.benchmarking.processes import import_time, install_size, peak_memory
from scripts.benchmarking.results import update_guide, write

LEAST = 15.0  # seconds: with less time left, nothing else is measured


def run_on_cpu(chosen: argparse.Namespace) -> int:
    """Measure what the command line asks for, or only report it again, and return the exit code."""
    if chosen.report:
        return report_cpu(chosen.output)
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(chosen.threads)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    results = start_results(chosen)
    write(results, chosen.output)  # before anything is measured: it may not be possible
    place = cpu_place(chosen)
    if place.wanted:
        for case in place.cases:
            merge_case(results["cases"], measure_case(case, place))
            write(results, chosen.output)
            gc.collect()
        prepare.cache_clear()
    others: dict[str, Callable[[], Any]] = {
        "fit": lambda: fit_times(chosen.threads, chosen.rounds or 7),
        "populations": lambda: population_times(chosen.rounds or 7),
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
            write(results, chosen.output)
    print(report.as_text(results))
    print(f"Written: {chosen.output}")
    if results["whole"]:
        return report_cpu(chosen.output)
    for path in pictures.draw(results, chosen.output):
        print(f"Written: {path}")
    return 0


def cpu_place(chosen: argparse.Namespace) -> Place:
    """Return the processor with the cases and the rounds that the command line asks for."""
    cases = tuple(case for case in CPU.cases if case.name in chosen.case_names)
    place = replace(CPU, cases=cases, rounds=chosen.rounds, wanted=frozenset(chosen.wanted & {"step", "epoch", "inference"}))
    if not chosen.quick:
        return place
    return replace(place, quick=True, turn=0.05, cases=tuple(replace(case, steps=case.steps // 8) for case in cases))


def start_results(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return empty results, or those in the output where a part of a whole run's is measured again on the same machine."""
    new = {
        "date": datetime.date.today().isoformat(),
        "whole": chosen.whole,
        "machine": describe_processor(chosen.threads),
        "cases": [],
    }
    if chosen.whole or chosen.quick or not chosen.output.exists():
        return new
    old = json.loads(chosen.output.read_text(encoding="utf-8"))
    same = old["whole"] and old["machine"] == new["machine"]
    return old | {"date": new["date"]} if same else new


def merge_case(cases: list[dict[str, Any]], measured: dict[str, Any]) -> None:
    """Put the results of a case among the others, keeping what else was measured of it before."""
    for case in cases:
        if (case["name"], case["optimizer"]) == (measured["name"], measured["optimizer"]):
            case |= measured | {"seconds": case["seconds"] | measured["seconds"]}
            return
    cases.append(measured)


def report_cpu(output: Path) -> int:
    """Write the guide's part and the pictures from the results of a whole run, and return the exit code."""
    try:
        results = json.loads(output.read_text(encoding="utf-8"))
        if not results["whole"]:
            print(f"scripts/benchmark: {output} holds a partial run, but the guide needs a whole one: run it without options.")
            return 2
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"scripts/benchmark: {output} holds no results that can be read ({error!r}): run it without options.")
        return 2
    for path in [update_guide(CPU, [results]), *pictures.draw(results, output)]:
        print(f"Written: {path}")
    return 0


def run_on_gpu(place: Place, output: Path, titles: list[str], until: float) -> None:
    """Measure what has these titles in rounds, added to the results in the output, until the time is over.

    Every case is measured once before any is measured again. In the first round each gets a fair share of the time left.
    """
    results = json.loads(output.read_text(encoding="utf-8"))
    place = replace(place, kinds=tuple(kind for kind in place.kinds if kind.needs not in results["without"]))
    if "copy" not in results:
        results["copy"] = measure_copy(place)
    items = [item for item in place.items if item.title in titles]
    for number in range(place.rounds or 1):
        for at, item in enumerate(items):
            if results["rounds"].get(item.title, 0) > number or item.title in results["left_out"]:
                continue
            left = until - LEAST - time.time()
            if left < 0.0:
                return
            results["under_way"] = item.title  # names it for the parent if this process breaks down
            write(results, output)
            measure_round(results, item, replace(place, rounds=1), time.time() + (left if number else left / (len(items) - at)))
            results["under_way"] = None
            write(results, output)
            free_memory()


def measure_round(results: dict[str, Any], item: Case | FitTask | PopulationTask, place: Place, until: float) -> None:
    """Measure a case, a fit or a population for one more round, and add it to the results, or the reason why it failed."""
    kind = "fit" if isinstance(item, FitTask) else "populations" if isinstance(item, PopulationTask) else "cases"
    measured = results[kind]
    earlier = next((each for each in measured if each["title"] == item.title), None)
    try:
        with warnings.catch_warnings(record=True) as caught, fallbacks() as reasons:
            if isinstance(item, FitTask):
                found = measure_fit(item, place, until, earlier)
            elif isinstance(item, PopulationTask):
                found = measure_population(item, place)
            else:
                found = measure_case(item, place, until, earlier)
    except Exception as error:
        results["left_out"][item.title] = first_line(error)
        results["failed"].append(f"{item.title}: {first_line(error)}")
        return
    found["warnings"] = sorted({first_line(each.message) for each in caught if each.category is RuntimeWarning})
    known = {} if earlier is None else earlier["left_out"]
    others = {*known, *place.peers, "scikit-learn"}
    results["failed"] += [f"{item.title}, {who}: {why}" for who, why in found["left_out"].items() if who not in others]
    results["failed"] += [f"{item.title}: {each}" for each in sorted(set(reasons))]
    results["rounds"][item.title] = results["rounds"].get(item.title, 0) + 1
    if earlier is None:
        measured.append(earlier := found)
    else:
        add_round(earlier, found)
    print(report.summarize(earlier, place), flush=True)


def add_round(earlier: dict[str, Any], new: dict[str, Any]) -> None:
    """Append the numbers of a round to those of the earlier rounds, which have the same structure."""
    for key, value in new.items():
        if isinstance(value, dict):
            add_round(earlier.setdefault(key, {}), value)
        elif isinstance(value, list):
            earlier.setdefault(key, []).extend(value)
        else:
            earlier.setdefault(key, value)


@contextlib.contextmanager
def fallbacks() -> Iterator[list[str]]:
    """Collect the reasons why steps of ours are called instead of replayed, which would otherwise show only in the time."""
    reasons: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = "" if record.exc_info is None else f": {record.exc_info[1]!r}"
            reasons.append(first_line(record.getMessage() + error))

    listener, log = Listener(), logging.getLogger("portable_bp")
    before = log.level
    log.addHandler(listener)
    log.setLevel(logging.DEBUG)
    try:
        yield reasons
    finally:
        log.removeHandler(listener)
        log.setLevel(before)


def free_memory() -> None:
    """Release the device memory that libraries cache, so that the others can use it."""
    gc.collect()
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    run_on_gpu(replace(PLACES[given["place"]], rounds=given["rounds"]), Path(given["output"]), given["titles"], given["until"])
