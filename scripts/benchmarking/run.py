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
from scripts.benchmarking.fits import fit_times
from scripts.benchmarking.growth import growth_with_samples, growth_with_weights
from scripts.benchmarking.machines import describe_processor
from scripts.benchmarking.measuring import first_line, measure_case, measure_copy, prepare
from scripts.benchmarking.places import CPU, PLACES, Place
from scripts.benchmarking.processes import import_time, install_size, peak_memory
from scripts.benchmarking.results import update_guide, write

LEAST = 15.0  # seconds: with less time left, no other case starts


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
    """Measure the cases with these titles in turn, added to the results in the output, until the time is over."""
    results = json.loads(output.read_text(encoding="utf-8"))
    place = replace(place, kinds=tuple(kind for kind in place.kinds if kind.needs not in results["without"]))
    if "copy" not in results:
        results["copy"] = measure_copy(place)
    for case in place.cases:
        if case.title not in titles:
            continue
        if time.time() > until - LEAST:
            results["left_out"][case.title] = "there was no time left for it"
            continue
        results["under_way"] = case.title  # names the case for the parent if this process breaks down
        write(results, output)
        try:
            with warnings.catch_warnings(record=True) as caught, fallbacks() as reasons:
                measured = measure_case(case, place, until - LEAST)
        except Exception as error:
            results["left_out"][case.title] = first_line(error)
            results["failed"].append(f"{case.title}: {first_line(error)}")
        else:
            measured["warnings"] = sorted({first_line(each.message) for each in caught if each.category is RuntimeWarning})
            results["cases"].append(measured)
            ours = {who: why for who, why in measured["left_out"].items() if who.startswith("portable_bp")}
            results["failed"] += [f"{case.title}, {who}: {why}" for who, why in ours.items()]
            results["failed"] += [f"{case.title}: {each}" for each in sorted(set(reasons))]
            print(report.summarize_case(measured, place), flush=True)
        results["under_way"] = None
        write(results, output)
        free_memory()
    write(results, output)


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
