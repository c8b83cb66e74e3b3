"""How a case is measured: every contestant is checked against float64 first, then all take their turns."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import portable_bp as bp
from scripts.benchmarking.cases import Case, CaseData, Networks, draw
from scripts.benchmarking.check import References, WrongResultError, check
from scripts.benchmarking.contestants import Contestant, Ours
from scripts.benchmarking.places import Place
from scripts.benchmarking.rounds import Turn, by_host, measure, steps_lasting, steps_within

TRAINING = ("step", "epoch")
PREDICTED = (1, 10_000)  # samples at a time


def measure_case(case: Case, place: Place, until: float = math.inf) -> dict[str, Any]:
    """Return the results of a case: the seconds of every contestant's step, on ready batches and in an epoch, and more.

    No round but the first starts after ``until``, a ``time.time()``.
    """
    lineup = Lineup(case, place)
    took: Any = measure(lineup.turns, place.rounds_of(case), case.title, until, place.patience)
    seconds = by_work(by_host(took) if place.is_cpu else took, place.wanted)
    if "inference" in place.wanted:
        seconds |= {f"inference of {samples:,}": lineup.predict(samples) for samples in PREDICTED}
    results = {
        "name": case.name,
        "batch": case.batch,
        "steps": case.steps,
        "optimizer": case.pieces.optimizer,
        "weights": case.weights,
        "distance_to_float64": lineup.distances,
        "seconds": seconds,
        "left_out": lineup.left_out,
    }
    if not place.is_cpu:
        results |= {"precision": case.precision, "fewest_bytes": case.fewest_bytes}
    if isinstance(case, Networks):
        results["sample"] = case.sample
    return results


class Lineup:
    """The contestants that take part in a case, checked, and their turns; and the reasons why others do not take part."""

    def __init__(self, case: Case, place: Place) -> None:
        self.case, self.place = case, place
        self.contestants: list[Contestant] = []
        self.turns: dict[tuple[str, str], Turn] = {}  # by the contestant's name and its work: "step" or "epoch"
        self.distances: dict[str, float] = {}  # to float64
        self.left_out: dict[str, str] = {}
        for kind in place.kinds_for(case):
            if reason := place.why_not(kind, case):
                self.left_out[kind.name] = reason
                continue
            try:
                self._add(kind)
            except Exception as error:  # such as a missing compiler, or too little memory
                if not place.keep_going and (isinstance(error, WrongResultError) or issubclass(kind, Ours)):
                    raise
                self.left_out[kind.name] = first_line(error)

    def _add(self, kind: type[Contestant]) -> None:
        data, references = prepare(replace(self.case, precision="float32"), self.place.flag)
        networks = [kind(self.case, data) for _ in range(self.case.sample if isinstance(self.case, Networks) else 1)]
        self.distances[kind.name] = max(check(network, references) for network in networks)
        turns = one_after_another(networks) if isinstance(self.case, Networks) else turns_of(networks[0], self.place)
        self.turns |= {(kind.name, work): turn for work, turn in turns.items()}
        self.contestants.append(networks[0])

    def predict(self, samples: int) -> dict[str, list[float]]:
        """Return the seconds of every contestant's prediction of that many samples, one for each round."""
        x = draw(self.case, samples).x
        turns: dict[str, Turn] = {}
        for contestant in self.contestants:
            run = repeated(contestant.predict, contestant.asarray(x))
            turns[contestant.name] = Turn(run, steps_lasting(0.05, run, 10_000), 1)
        return by_host(measure(turns, self.place.rounds or 3, f"{self.case.name} predict {samples:,}"))


@functools.lru_cache(maxsize=1)  # the cases of one network that differ in precision follow each other
def prepare(case: Case, flag: str) -> tuple[CaseData, References]:
    """Return the data of a case in float32, and what float64 learns from them on a backend."""
    data = draw(case)
    return data, References(case, data, flag)


def turns_of(contestant: Contestant, place: Place) -> dict[str, Turn]:
    """Return the turns of a contestant at training, by its work; ours has one: its steps are its epoch."""
    case, wanted, turns = contestant.case, place.wanted.intersection(TRAINING), {}
    ours = isinstance(contestant, Ours)
    if ours and wanted:
        contestant.epoch(case.steps)  # compiles all that will be compiled
    elif "step" in wanted and contestant.steps is not None:
        count = max(min(case.steps, 5), steps_lasting(place.turn, contestant.steps, case.steps))
        turns["step"] = Turn(contestant.steps, count, min(count, 8), contestant.stopwatch)
    if (wanted if ours else "epoch" in wanted) and contestant.epoch is not None:
        count = case.steps if place.epoch == math.inf else steps_within(place.epoch, contestant.epoch, case.steps)
        turns["epoch"] = Turn(contestant.epoch, count, min(count, 8), contestant.stopwatch)
    return turns


def one_after_another(networks: list[Contestant]) -> dict[str, Turn]:
    """Return the turn at training networks one after the other, all steps each."""

    def run(steps: int) -> None:
        for network in networks:
            network.steps(steps // len(networks))

    count, steps = len(networks), networks[0].case.steps
    run(count * steps)
    return {"step": Turn(run, count * steps, count * min(steps, 8), networks[0].stopwatch)}


def repeated(function: Callable[..., object], *arguments: Any) -> Callable[[int], None]:
    """Return a function that makes a call a number of times."""

    def run(count: int) -> None:
        for _ in range(count):
            function(*arguments)

    return run


def by_work(seconds: dict[tuple[str, str], Any], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Return what was timed by work, then by contestant.

    Ours always shuffles and gathers: the step of its epoch is compared with the others' steps on ready batches too.
    """
    return {
        work: {name: took for (name, its), took in seconds.items() if its == work or name.startswith("portable_bp")}
        for work in TRAINING
        if work in wanted
    }


def first_line(error: BaseException | str) -> str:
    """Return the first line of an error or a warning, or its class where it says nothing."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def measure_copy(place: Place) -> dict[str, Any]:
    """Return how long it takes to copy an array to another one on the same device."""
    backend = bp.select_backend(place.flag)
    source, target = (backend.xp.full(place.copied, number, dtype=backend.dtype) for number in (1.0, 0.0))

    def run(count: int) -> None:
        for _ in range(count):
            backend.xp.copyto(target, source)
        backend.synchronize()

    stopwatch = next(kind.stopwatch for kind in place.kinds if kind.needs == place.flag)
    turn = Turn(run, steps_lasting(place.turn, run, 1000), 2, stopwatch)
    return {"bytes_read_and_written": 2 * source.nbytes, "seconds": measure({"copy": turn}, place.rounds or 5, "copy")["copy"]}
