"""Whole fits of our classifier and of scikit-learn's, on NumPy in float64, with the same random_state."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from scripts.benchmarking.check import WrongResultError
from scripts.benchmarking.rounds import Turn, by_host, measure


def digits() -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return scikit-learn's digits, 1,797 of 8 x 8 pixels, for the default settings."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return np.asarray(x), np.asarray(y), {}


def pixels() -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return 20,000 random samples of the size of MNIST's, and the settings for five epochs of 784-128-10."""
    generator = np.random.default_rng(0)
    return generator.random((20_000, 784)), generator.integers(0, 10, 20_000), {"hidden_layer_sizes": (128,), "max_iter": 5}


TASKS = {"digits at default settings": digits, "784-128-10 on 20,000 samples": pixels}


def fit_times(threads: int, rounds: int) -> list[dict[str, Any]]:
    """Return the seconds of fits, one a round, for each task, on one thread and on all."""
    from threadpoolctl import threadpool_limits

    found = []
    for name, task in TASKS.items():
        x, y, options = task()
        fits: dict[str, Callable[[int], Any]] = {who: make_fit(kind, x, y, options) for who, kind in classifiers().items()}
        model = fit_models(fits)["portable_bp"]
        fits["products"] = make_products(x, [coef.shape for coef in model.coefs_], min(200, len(x)), model.n_iter_)
        for limit in sorted({1, threads}):
            turns = {who: Turn(fit, 1, 0) for who, fit in fits.items()}
            with threadpool_limits(limit):
                found.append({"task": name, "threads": limit, "seconds": by_host(measure(turns, rounds, name))})
    return found


def classifiers() -> dict[str, Any]:
    """Return the two classifiers."""
    import sklearn.neural_network

    from portable_bp.estimators import MLPClassifier

    return {"portable_bp": MLPClassifier, "scikit-learn": sklearn.neural_network.MLPClassifier}


def make_fit(kind: Any, x: np.ndarray, y: np.ndarray, options: dict[str, Any]) -> Callable[[int], Any]:
    """Return a function that takes a number of fits to make, and returns the last model."""

    def fit(count: int) -> Any:
        model = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # five epochs do not converge
            for _ in range(count):
                model = kind(random_state=0, **options).fit(x, y)
        return model

    return fit


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


def fit_models(fits: dict[str, Callable[[int], Any]]) -> dict[str, Any]:
    """Return the model of each fit, or raise WrongResultError where their losses differ."""
    models = {who: fit(1) for who, fit in fits.items()}
    first = models["scikit-learn"].loss_curve_
    for who, model in models.items():
        curve = model.loss_curve_
        if len(curve) != len(first) or not np.allclose(curve, first, rtol=1e-9, atol=0.0):
            raise WrongResultError(f"{who} is at a loss of {curve[-1]} after {len(curve)} epochs, not {first[-1]}")
    return models
