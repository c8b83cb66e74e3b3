"""The benchmark of scripts/gpu, a process of its own: case after case until the time is over, each written down as it comes."""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

import portable_bp as bp
from scripts.benchmarking.cases import Case, Data, draw
from scripts.benchmarking.check import References, check
from scripts.benchmarking.contestants import Contestant, Ours, TorchCompiled
from scripts.benchmarking.gpu_report import EVENTS, HOST, tell_case, write
from scripts.benchmarking.places import GPU, REHEARSAL, Networks, Place, title
from scripts.benchmarking.rounds import Turn, by_host, measure, steps_in
from scripts.benchmarking.turns import TRAINING, assemble, by_what, in_a_line, turns_of

LEAST = 15.0  # with so many seconds left, no other case is begun
PATIENCE = 0.1  # threads of the host that go on working slow a device down but little


def run(output: Path, until: float, rehearse: bool, titles: list[str], rounds: int) -> None:
    """Measure cases in their order, and write each down.

    Parameters
    ----------
    output : Path
        The results so far, to which they are added.
    until : float
        When, by `time.time`, it should be over.
    rehearse : bool
        Whether it is a rehearsal.
    titles : list of str
        Which cases.
    rounds : int
        How many.
    """
    results = json.loads(output.read_text(encoding="utf-8"))

    place = REHEARSAL if rehearse else GPU
    kinds = [kind for kind in place.kinds if kind.needs not in results["without"]]
    if "copy" not in results:
        results["copy"] = copy(place, rounds)
    for case in place.cases:
        name = title(case)
        if name not in titles:
            continue
        if time.time() > until - LEAST:
            results["left_out"][name] = "there was no time left for it"
            continue
        results["under_way"] = name  # which tells where a process ended that could not tell itself
        write(results, output)
        try:
            with warnings.catch_warnings(record=True) as caught, overheard() as told:
                measured = measure_case(case, place, kinds, until - LEAST, rounds)
            measured["warnings"] = sorted({in_a_line(each.message) for each in caught if each.category is RuntimeWarning})
        except Exception as error:
            results["left_out"][name] = in_a_line(error)
            results["failed"].append(f"{name}: {in_a_line(error)}")
        else:
            results["cases"].append(measured)
            wrong = {who: why for who, why in measured["left_out"].items() if who.startswith("portable_bp")}
            results["failed"] += [f"{name}, {who}: {why}" for who, why in wrong.items()]
            results["failed"] += [f"{name}: {each}" for each in sorted(set(told))]
            print(tell_case(measured, f"portable_bp {place.flag}"), flush=True)
        results["under_way"] = None
        write(results, output)
        free()
    write(results, output)


@contextlib.contextmanager
def overheard() -> Iterator[list[str]]:
    """Collect why steps of ours are called and not played, which would show in nothing but the time."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            reason = "" if record.exc_info is None else f": {record.exc_info[1]!r}"
            told.append(in_a_line(record.getMessage() + reason))

    listener, log = Listener(), logging.getLogger("portable_bp")
    before = log.level
    log.addHandler(listener)
    log.setLevel(logging.DEBUG)
    try:
        yield told
    finally:
        log.removeHandler(listener)
        log.setLevel(before)


def measure_case(case: Case, place: Place, kinds: list[type[Contestant]], until: float, rounds: int) -> dict[str, Any]:
    """Return what everyone takes for a step, and in an epoch.

    Parameters
    ----------
    case : Case
        What is trained.
    place : Place
        Where.
    kinds : list of type
        Who can take part.
    until : float
        When, by `time.time`, no other round is begun.
    rounds : int
        How many, at most.
    """
    data, references = prepared(replace(case, precision="float32"), place.flag)
    if case.precision != "float32":  # our other backends can wait: time is scarce
        kinds = [kind for kind in kinds if not issubclass(kind, Ours) or kind.needs == place.flag]
    turns: dict[tuple[str, str], Turn] = {}
    if isinstance(case, Networks):
        distances, left_out = _networks(case, kinds, data, references, turns)
    else:
        here, distances, left_out = assemble(case, data, kinds, references=references, go_on=True)
        for contestant in here:
            try:
                turns |= turns_of(contestant, set(TRAINING), place.turn, place.epoch)
            except Exception as error:  # such as too little memory
                left_out[contestant.name] = in_a_line(error)
    measured = {
        "name": case.name,
        "batch": case.batch,
        "steps": case.steps,
        "optimizer": case.pieces.optimizer,
        "precision": case.precision,
        "weights": case.weights,
        "fewest_bytes": fewest_bytes(case),
        "distance_to_float64": distances,
        "left_out": left_out,
    }
    with tqdm(total=rounds * len(turns), desc=title(case), unit="turn", leave=False) as bar:
        took = measure(turns, rounds, bar.update, by_both_clocks, until, PATIENCE)
    if isinstance(case, Networks):
        measured["sample"] = case.sample
    return measured | {"seconds": by_what({who: by_clock(each) for who, each in took.items()}, set(TRAINING))}


@functools.lru_cache(maxsize=1)  # a case at one precision comes after the same at another
def prepared(case: Case, flag: str) -> tuple[Data, References]:
    """Return a case's data, and what float64 learns from them.

    Parameters
    ----------
    case : Case
        In float32.
    flag : str
        Of the backend that computes it in float64.
    """
    data = draw(case)
    return data, References(case, data, flag)


def _networks(
    case: Networks,
    kinds: list[type[Contestant]],
    data: Data,
    references: References,
    turns: dict[tuple[str, str], Turn],
) -> tuple[dict[str, float], dict[str, str]]:
    """Add everyone's turns at training some networks one after the other; return distances, and who is left out and why."""
    distances: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for kind in kinds:
        if issubclass(kind, TorchCompiled):
            left_out[kind.name] = "it would compile every network"
            continue
        try:
            networks = [kind(case, data) for _ in range(case.sample)]
            distances[kind.name] = max(check(network, references) for network in networks)
        except Exception as error:
            left_out[kind.name] = in_a_line(error)
            continue
        run = functools.partial(_one_after_the_other, networks)
        run(case.sample * case.steps)
        turns[kind.name, "step"] = Turn(run, case.sample * case.steps, case.sample * min(case.steps, 8), networks[0].stopwatch)
    return distances, left_out


def _one_after_the_other(networks: list[Contestant], steps: int) -> None:
    for network in networks:
        network.steps(steps // len(networks))


def fewest_bytes(case: Case) -> int:
    """Return how many bytes a step must move: its batch in, and each parameter and what the optimizer knows of it in and out.

    Parameters
    ----------
    case : Case
        Whose step it is.
    """
    kept = {"sgd": 1, "adam": 3}[case.pieces.optimizer]
    targets = 1 if case.pieces.loss == "cross_entropy" else case.sizes[-1]
    return 4 * (case.batch * (case.sizes[0] + targets) + 2 * kept * case.weights)


def by_both_clocks(turn: Turn) -> tuple[float, float | None]:
    """Take a turn, and return the seconds of a step by the host's clock, and by events where the library has them.

    Parameters
    ----------
    turn : Turn
        One that is warm.
    """
    if turn.stopwatch is None:
        return by_host(turn), None
    seconds = turn.stopwatch()
    host = by_host(turn)
    return host, seconds() / turn.steps


def by_clock(took: list[tuple[float, float | None]]) -> dict[str, list[float]]:
    """Return what was timed, one number a round, by each clock that timed it.

    Parameters
    ----------
    took : list of pair
        As `by_both_clocks` returns them.
    """
    events = [event for _, event in took if event is not None]
    return {HOST: [host for host, _ in took]} | ({EVENTS: events} if events else {})


def copy(place: Place, rounds: int) -> dict[str, Any]:
    """Return what it takes to copy an array to another on the same device.

    Parameters
    ----------
    place : Place
        Where.
    rounds : int
        How many.
    """
    backend = bp.select_backend(place.flag)
    source, target = (backend.xp.full(place.copied, number, dtype=backend.dtype) for number in (1.0, 0.0))

    def run(count: int) -> None:
        for _ in range(count):
            backend.xp.copyto(target, source)
        backend.synchronize()

    stopwatch = next(kind.stopwatch for kind in place.kinds if kind.needs == place.flag)
    turn = Turn(run, steps_in(place.turn, run, 1000), 2, stopwatch)
    seconds = measure({"copy": turn}, rounds, lambda: None, by_both_clocks)["copy"]
    return {"bytes_read_and_written": 2 * source.nbytes, "seconds": by_clock(seconds)}


def free() -> None:
    """Give back the memory that libraries keep for themselves, so that others have it."""
    gc.collect()
    give_back: dict[str, Callable[[Any], None]] = {
        "cupy": lambda cupy: cupy.get_default_memory_pool().free_all_blocks(),
        "torch": lambda torch: torch.cuda.empty_cache(),
    }
    for name, each in give_back.items():
        if name in sys.modules:
            each(sys.modules[name])


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    run(**given | {"output": Path(given["output"])})
