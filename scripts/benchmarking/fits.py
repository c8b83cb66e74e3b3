"""Whole fits of our estimators and of scikit-learn's, with the same random_state."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.benchmarking.check import WrongResultError
from scripts.benchmarking.rounds import Turn, by_host, measure

Data = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class FitTask:
    """What estimators are fitted to, and the settings that differ from the default ones."""

    name: str
    draw: Callable[[], Data]
    options: dict[str, Any] = field(default_factory=dict)
    estimator: str = "MLPClassifier"

    @property
    def title(self) -> str:
        """A name that is unique among all that is measured."""
        return self.name

    def make_fit(self, module: Any, data: tuple[Any, Any], **options: Any) -> Callable[[int], Any]:
        """Return a function that takes a number of fits to make, with the module's estimator, and returns the last model."""
        kind = getattr(module, self.estimator)

        def fit(count: int) -> Any:
            model = None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a few epochs do not converge
                for _ in range(count):
                    model = kind(random_state=0, **self.options, **options).fit(*data)
            return model

        return fit


def digits() -> Data:
    """Return scikit-learn's digits, 1,797 of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return np.asarray(x), np.asarray(y)


def classes(samples: int, features: int, dtype: Any = "float32") -> Callable[[], Data]:
    """Return a function that draws random samples of ten classes."""

    def draw() -> Data:
        generator = np.random.default_rng(0)
        return generator.random((samples, features), dtype), generator.integers(0, 10, samples)

    return draw


def numbers(samples: int, features: int) -> Callable[[], Data]:
    """Return a function that draws random samples with a target number each."""

    def draw() -> Data:
        generator = np.random.default_rng(0)
        return generator.random((samples, features), "float32"), generator.random(samples, "float32")

    return draw


_PLAIN, _WIDE = {"hidden_layer_sizes": (128,), "max_iter": 5}, {"hidden_layer_sizes": (512, 512), "max_iter": 1}
TASKS = (
    FitTask("digits at default settings", digits),
    FitTask("784-128-10 on 20,000 samples", classes(20_000, 784, "float64"), _PLAIN),
)
FITS_ON_GPU = (
    FitTask("digits", digits),
    FitTask("784-128-10 on 60000 samples", classes(60_000, 784), _PLAIN),
    FitTask("100-512-512-1 on 1000000 samples", numbers(1_000_000, 100), _WIDE, "MLPRegressor"),
)
REHEARSED_FITS = (
    FitTask("digits", digits, {"max_iter": 3}),
    FitTask("784-128-10 on 600 samples", classes(600, 784), _PLAIN),
    FitTask("100-512-512-1 on 1000 samples", numbers(1000, 100), _WIDE, "MLPRegressor"),
)


def fit_times(threads: int, rounds: int) -> list[dict[str, Any]]:
    """Return the seconds of fits on NumPy in float64, one a round, for each task, on one thread and on all."""
    from threadpoolctl import threadpool_limits

    found = []
    for task in TASKS:
        data = task.draw()
        fits = {who: task.make_fit(module, data) for who, module in modules().items()}
        models = {who: fit(1) for who, fit in fits.items()}
        require_same_losses({who: model.loss_curve_ for who, model in models.items()}, 1e-9)
        model, samples = models["portable_bp"], len(data[0])
        fits["products"] = make_products(data[0], [coef.shape for coef in model.coefs_], min(200, samples), model.n_iter_)
        for limit in sorted({1, threads}):
            turns = {who: Turn(fit, 1, 0) for who, fit in fits.items()}
            with threadpool_limits(limit):
                found.append({"task": task.name, "threads": limit, "seconds": by_host(measure(turns, rounds, task.name))})
    return found


def modules() -> dict[str, Any]:
    """Return the modules that have the estimators."""
    import sklearn.neural_network

    import portable_bp.estimators

    return {"portable_bp": portable_bp.estimators, "scikit-learn": sklearn.neural_network}


def require_same_losses(curves: Mapping[str, Sequence[float]], tolerance: float) -> None:
    """Raise WrongResultError where an estimator's losses, one an epoch, differ from those of the next one."""
    for (who, curve), (_, expected) in itertools.pairwise(curves.items()):
        if len(curve) != len(expected) or not np.allclose(curve, expected, rtol=tolerance, atol=0.0):
            raise WrongResultError(f"{who} is at a loss of {curve[-1]} after {len(curve)} epochs, not {expected[-1]}")


def make_products(x: np.ndarray, shapes: list[tuple[int, int]], batch: int, epochs: int) -> Callable[[int], None]:
    """Return a function that computes only the matrix products of a number of fits; shapes are (fan_in, fan_out)."""
    weights = [np.ones(shape) for shape in shapes]
    sizes = [batch] * (len(x) // batch) + [len(x) % batch] * (len(x) % batch > 0)
    outs = {size: [np.ones((size, fan_in)) for fan_in, _ in shapes] for size in set(sizes)}
    deltas = {size: [np.ones((size, fan_out)) for _, fan_out in shapes] for size in set(sizes)}

    def run(count: int) -> None:
        for size in sizes * epochs * count:
            for number, (out, weight, delta) in enumerate(zip(outs[size], weights, deltas[size], strict=True)):
                _ = out @ weight
                _ = out.T @ delta
                if number:
                    _ = delta @ weight.T

    return run
