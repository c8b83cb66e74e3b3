"""Fit several estimators at once: those that allow it are trained as the members of one population.

Each is afterwards what it would be if it had been fitted alone, up to rounding.
"""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, NamedTuple, TypeAlias

from portable_bp.algorithm.dropout import check_rates
from portable_bp.estimators.parameters import FitArguments
from portable_bp.estimators.perceptron import Drawn, Perceptron, TakenExamples
from portable_bp.estimators.population_fit import train_population
from portable_bp.estimators.problem import Problem, StochasticSettings, Validation
from portable_bp.estimators.stochastic import Order, Start, StochasticFit
from portable_bp.training import Training

# The parameters that all members of a population share: shapes depend on them, or what a step computes.
SHARED = ("backend", "activation", "solver", "batch_size", "max_iter", "nesterovs_momentum", "class_weight", "loss")
MIN_SHARING = 32  # members with the same batches, from which a population of their own is faster on the host
MAX_NUMBERS = 2**25  # of a population: its parameters and the outs of a batch; with gradients and states, 1 GiB of float64


# Checked data on their device, with the attributes that they give an estimator.
Data: TypeAlias = dict[Any, tuple[TakenExamples, dict[str, Any]]]


class Job(NamedTuple):
    """An estimator to fit, and the arguments of its call of fit; those with the same data share the same arguments."""

    model: Perceptron
    given: FitArguments


class Outcome(NamedTuple):
    """A fitted estimator with its validation data, or the error that its fit raised."""

    number: int  # of the job
    seconds: float = 0.0  # those of a population are divided among its members
    validation: Validation | None = None
    warning: str | None = None
    error: Exception | None = None


def why_alone(model: Perceptron) -> str | None:
    """Return why an estimator cannot be a member of a population, or None if it can."""
    if model.solver == "lbfgs":
        return "solver='lbfgs'"
    if not isinstance(model.callbacks, Sequence) or len(model.callbacks):
        return "callbacks"
    return "set_callbacks" if getattr(model, "_skl_callbacks", None) else None


def fit_together(jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Fit estimators, and yield the outcomes as they become known."""
    data: Data = {}
    groups: dict[Any, list[Candidate]] = {}
    for number, job in enumerate(jobs):
        began = time.perf_counter()
        try:
            job.model._validate_params()
            if why_alone(job.model):
                yield fit_alone(number, job)
                continue
            candidate = Candidate(number, job, data)
        except Exception as error:
            yield Outcome(number, time.perf_counter() - began, error=error)
            continue
        groups.setdefault(candidate.key, []).append(candidate)
    for group in groups.values():
        populations = divided(group)
        sizes = collections.Counter(map(len, populations))
        for population in populations:
            yield from fit_population(population, sizes[len(population)])


def divided(group: list[Candidate]) -> list[list[Candidate]]:
    """Divide a group into populations: those that share each batch, which is then read once for all, and the others.

    Neighbors have the same data, so that a population holds few data sets.
    """
    parts: dict[Any, list[Candidate]] = {}
    for candidate in sorted(group, key=lambda candidate: id(candidate.given)):
        parts.setdefault((id(candidate.given), candidate.batch_seed), []).append(candidate)
    populations: list[list[Candidate]] = []
    others: list[Candidate] = []
    for (_, seed), part in parts.items():
        if seed is None or len(part) < MIN_SHARING:
            others += part
        else:
            populations.append(part)
    size = max(1, MAX_NUMBERS // group[0].numbers)
    return [part[start : start + size] for part in (*populations, others) for start in range(0, len(part), size)]


def fit_alone(number: int, job: Job) -> Outcome:
    """Fit one estimator."""
    began = time.perf_counter()
    try:
        problem, solution = job.model._solve(job.given)
    except Exception as error:
        return Outcome(number, time.perf_counter() - began, error=error)
    return Outcome(number, time.perf_counter() - began, problem.validation, solution.warning)


class Candidate:
    """An estimator that can be a member of a population, with its data."""

    def __init__(self, number: int, job: Job, data: Data) -> None:
        """Check the parameters, and take the data from an estimator with the same ones, or check and move them."""
        self.number, (self.model, self.given) = number, job
        self.hidden = self.model._check_parameters(self.given)
        rates = check_rates(self.model.dropout, len(self.hidden))
        same = id(self.given), repr(self.model.backend), getattr(self.model, "loss", None)
        if same not in data:
            taken = self.model._take_examples(self.given, self.model._continues(self.given))
            learned = {name: value for name, value in vars(self.model).items() if name in self.model._data_attributes}
            data[same] = taken, learned
        self.taken, learned = data[same]
        vars(self.model).update(learned)
        examples, held_out = self.taken
        sizes = self.model.n_features_in_, *self.hidden, self.model.n_outputs_
        batch_size = 200 if self.model.batch_size == "auto" else self.model.batch_size
        self.seed = self.model.random_state if isinstance(self.model.random_state, Integral) else None
        # Candidates with the same key draw the same, once. With dropout each draws: it needs its own generator of masks.
        draws_alike = self.seed is not None and not any(rates) and not self.model._continues(self.given)
        self.draw_key = (id(self.given), self.seed) if draws_alike else None
        # A split of early_stopping copies the data, and a GPU is faster with one large population.
        splits = self.model.early_stopping and held_out is None and not draws_alike
        self.batch_seed = None if splits or examples.samples.backend.name != "numpy" else self.seed
        self.numbers = sum((below + 1) * above for below, above in itertools.pairwise(sizes))
        self.numbers += min(batch_size, examples.samples.count) * sum(sizes)
        self.key = (
            type(self.model),
            *(repr(getattr(self.model, name, None)) for name in SHARED),
            sizes,
            self.model._name_output(),
            examples.samples.count,
            self.model.validation_fraction if self.model.early_stopping and held_out is None else None,
            type(examples.samples),
            examples.samples.backend,
            examples.sample_weight.array is None,
            any(rates),
        )

    def prepare(self, drawn: dict[Any, Drawn]) -> tuple[StochasticSettings, Problem, Start]:
        """Return what to fit, with what another candidate drew if it would draw the same."""
        key = self.draw_key or id(self)
        if key not in drawn:
            drawn[key] = self.model._draw(self.given, self.hidden, self.taken)
        problem = self.model._begin(self.given, drawn[key])
        return self.model._settings(StochasticSettings), problem, self.model._start(self.given, problem)


def fit_population(candidates: Sequence[Candidate], repeats: int) -> Iterator[Outcome]:
    """Fit estimators as one population, of so many alike."""
    began, fits = time.perf_counter(), []
    drawn: dict[Any, Drawn] = {}
    orders: dict[Any, Order] = {}
    for candidate in candidates:
        try:
            fit = StochasticFit(*candidate.prepare(drawn))
        except Exception as error:
            yield Outcome(candidate.number, (time.perf_counter() - began) / len(candidates), error=error)
            continue
        if candidate.seed is not None:  # so nothing else draws from the random state
            fit.order = orders.setdefault(fit.order.key, fit.order)
        fits.append((candidate, fit))
    if not fits:
        return
    trainings = train_population([fit for _, fit in fits], repeats)
    seconds = (time.perf_counter() - began) / len(candidates)
    for (candidate, fit), training in zip(fits, trainings, strict=True):
        yield finish(candidate, fit, training)._replace(seconds=seconds)


def finish(candidate: Candidate, fit: StochasticFit, training: Training) -> Outcome:
    """Set the attributes of an estimator that was trained."""
    try:
        solution = fit.solution(training)
        candidate.model._store(fit.problem.examples.samples.backend, solution)
    except Exception as error:
        return Outcome(candidate.number, error=error)
    return Outcome(candidate.number, validation=fit.problem.validation, warning=solution.warning)
