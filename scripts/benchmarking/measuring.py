"""How a case is measured: every contestant is checked against float64 first, then all take their turns."""

from __future__ import annotations

import copy
import functools
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import portable_bp as bp
from scripts.benchmarking.cases import Case, CaseData, Networks, draw
from scripts.benchmarking.check import References, WrongResultError, check
from scripts.benchmarking.contestants import Contestant, Ours
from scripts.benchmarking.contestants.jax_jit import Jax
from scripts.benchmarking.fits import FitTask, modules, require_same_losses
from scripts.benchmarking.places import Place
from scripts.benchmarking.populations import PopulationTask, measure_steps
from scripts.benchmarking.rounds import Turn, by_host, measure, rest, steps_lasting, steps_within, time_limit

TRAINING = ("step", "epoch")
HOST_DATA, ARRAYS = "host data", "arrays on the device"  # that estimators are fitted to
AT_LEAST = 5.0  # seconds that a fit of scikit-learn may take, however short the time is
# Rounding to float32 changes a loss by up to 0.0002 in three epochs; other weights, or another order, by far more.
EPOCHS_COMPARED, LOSS_TOLERANCE = 3, 0.001
PREDICTED = (1, 10_000)  # samples at a time


def measure_case(case: Case, place: Place, until: float = math.inf, earlier: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the results of a case: the seconds of every contestant's step, on ready batches and in an epoch, and more.

    A contestant is left out if it is not ready at ``until``, a ``time.time()``, unless its minimum of ``at_least`` seconds has
    not passed.
    ``earlier`` is what was measured in earlier rounds: whoever was left out is not tried again, and nobody is checked again.
    """
    lineup = Lineup(case, place, until, earlier)
    took: Any = measure(lineup.turns, place.rounds_of(case), case.title, place.patience)
    whole = {contestant.name for contestant in lineup.contestants if contestant.whole_epochs}
    seconds = by_work(by_host(took) if place.is_cpu else took, place.wanted, whole)
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
        results |= {"title": case.title, "precision": case.precision, "fewest_bytes": case.fewest_bytes, "fits": lineup.fits}
    if isinstance(case, Networks):
        results["sample"] = case.sample
    return results


class Lineup:
    """The contestants that take part in a case, checked, and their turns; and the reasons why others do not take part."""

    def __init__(self, case: Case, place: Place, until: float = math.inf, earlier: dict[str, Any] | None = None) -> None:
        self.case, self.place, self.earlier = case, place, earlier
        self.contestants: list[Contestant] = []
        self.turns: dict[tuple[str, str], Turn] = {}  # by the contestant's name and its work: "step" or "epoch"
        self.distances: dict[str, float] = {}  # to float64
        self.fits: dict[str, Any] = {}  # of ours, see ``time_fits``
        self.left_out: dict[str, str] = {} if earlier is None else dict(earlier["left_out"])
        data, references = prepare(replace(case, precision="float32"), place.flag)
        for kind in place.kinds_for(case):
            if kind.name in self.left_out:
                continue
            if reason := place.why_not(kind, case):
                self.left_out[kind.name] = reason
                continue
            try:
                kind.load()
                with time_limit(max(kind.at_least, until - time.time())):
                    self._add(kind, data, references)
            except Exception as error:  # such as a missing compiler, or too little memory
                if not place.keep_going and (isinstance(error, WrongResultError) or issubclass(kind, Ours)):
                    raise
                self.left_out[kind.name] = first_line(error)

    def _add(self, kind: type[Contestant], data: CaseData, references: References) -> None:
        if kind.name == self.place.ours and not self.place.is_cpu:
            self.fits = time_fits(kind(self.case, data), self.place.patience)
        networks = [kind(self.case, data) for _ in range(self.case.sample if isinstance(self.case, Networks) else 1)]
        if self.earlier is None:
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
    """Return the turns of a contestant at training, by its work; one whose steps are its epoch has one turn."""
    case, wanted, turns = contestant.case, place.wanted.intersection(TRAINING), {}
    whole = contestant.whole_epochs
    if whole and wanted:
        contestant.epoch(case.steps)  # compiles all that will be compiled
    elif "step" in wanted and contestant.steps is not None:
        count = max(min(case.steps, 5), steps_lasting(place.turn, contestant.steps, case.steps))
        turns["step"] = Turn(contestant.steps, count, min(count, 8), contestant.stopwatch)
    if (wanted if whole else "epoch" in wanted) and contestant.epoch is not None:
        count = case.steps
        if place.epoch < math.inf:
            count = (steps_within if whole else steps_lasting)(place.epoch, contestant.epoch, case.steps)
        warm = count if contestant.compiles_each_length else min(count, 8)
        turns["epoch"] = Turn(contestant.epoch, count, warm, contestant.stopwatch)
    return turns


def one_after_another(networks: list[Contestant]) -> dict[str, Turn]:
    """Return the turn at training networks one after the other, all steps each."""

    def run(steps: int) -> None:
        for network in networks:
            network.steps(steps // len(networks))

    count, steps = len(networks), networks[0].case.steps
    run(count * steps)
    return {"step": Turn(run, count * steps, count * min(steps, 8), networks[0].stopwatch)}


def measure_fit(task: FitTask, place: Place, until: float = math.inf, earlier: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the seconds of a fit with the backend, of host data and of its own arrays, and with scikit-learn on the host.

    In the first round ours are fitted before, untimed. Theirs is interrupted soon after ``until``, a ``time.time()``.
    """
    x, y = task.draw()
    backend = bp.select_backend(place.flag, x.dtype.name)
    arrays = backend.asarray(x), backend.asarray(y, "int64" if y.dtype.kind == "i" else None)
    module, sklearn = modules().values()
    ours = {name: task.make_fit(module, data, backend=place.flag) for name, data in {HOST_DATA: (x, y), ARRAYS: arrays}.items()}
    seconds, curves, left_out = {}, {}, {} if earlier is None else dict(earlier["left_out"])
    for who, fit in {**ours, "scikit-learn": task.make_fit(sklearn, (x, y))}.items():
        if who in left_out:
            continue
        try:
            with time_limit(math.inf if who in ours else max(AT_LEAST, until - time.time())):
                if who in ours and earlier is None:
                    fit(1)
                rest(place.patience)
                began = time.perf_counter()
                model = fit(1)
                seconds[who] = [time.perf_counter() - began]
        except Exception as error:
            left_out[who] = first_line(error)
        else:
            curves[who] = model.loss_curve_[:EPOCHS_COMPARED]
    require_same_losses(curves, LOSS_TOLERANCE)
    return {
        "title": task.title,
        "estimator": task.estimator,
        "dtype": x.dtype.name,
        "seconds": seconds,
        "left_out": left_out,
    }


def measure_population(task: PopulationTask, place: Place) -> dict[str, Any]:
    """Return the seconds of a step of all members of a population, in one round, with the backend and in JAX."""
    precisions = {kind.precisions.get("float32") for kind in place.kinds if issubclass(kind, Jax)}
    return measure_steps(task, place.flag, 1, precisions) | {"title": task.title, "left_out": {}}


def repeated(function: Callable[..., object], *arguments: Any) -> Callable[[int], None]:
    """Return a function that makes a call a number of times."""

    def run(count: int) -> None:
        for _ in range(count):
            function(*arguments)

    return run


def time_fits(network: Contestant, patience: float) -> dict[str, Any]:
    """Return the seconds of a new network's first and second epoch of all steps, and of a later one of fewer steps."""
    steps = network.case.steps
    fewer = steps // 4

    def timed(count: int) -> list[float]:
        rest(patience)
        began = time.perf_counter()
        network.epoch(count)
        return [time.perf_counter() - began]

    fits = {"steps": steps, "fewer_steps": fewer, "first": timed(steps), "second": timed(steps)}
    network.epoch(fewer)
    return fits | {"fewer": timed(fewer)}


def by_work(seconds: dict[tuple[str, str], Any], wanted: frozenset[str], whole: set[str]) -> dict[str, dict[str, Any]]:
    """Return what was timed by work, then by contestant.

    Those named in ``whole`` always shuffle and gather: the step of their epoch is compared with the others' steps on ready
    batches too.
    """
    return {
        work: {name: copy.deepcopy(took) for (name, its), took in seconds.items() if its == work or name in whole}
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
