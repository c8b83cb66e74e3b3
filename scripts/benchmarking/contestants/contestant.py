"""What every contestant can do."""

from __future__ import annotations

from typing import Any

import numpy as np

from scripts.benchmarking.cases import Case, Data

READY = 64  # so many batches are ready for those who need not gather them


class Contestant:
    """One way to train the network of a case.

    ``steps(n)`` trains so many steps on batches that are ready, ``epoch(n)`` so many on batches that are shuffled and gathered
    first, ``predict(x)`` gives the outputs for what ``place`` returned; each returns when the work is done. One that cannot do
    a thing, or has nothing to add to another who can, has None there.

    Parameters
    ----------
    case : Case
        What to train.
    data : Data
        On what, and from where.

    Attributes
    ----------
    name : str
        As it is told.
    needs : str
        The backend flag of the library and the device without which it cannot take part.
    output_activation : str
        Of the network that it trains.
    predicts_probabilities : bool
        Whether `predict` gives the softmax of the outputs.
    stopwatch : callable or None
        Measures the seconds of what its library does on a device, as `stopwatches` says.
    """

    name = ""
    needs = "numpy"
    steps: Any = None
    epoch: Any = None
    predict: Any = None
    stopwatch: Any = None

    def __init__(self, case: Case, data: Data) -> None:
        self.case = case
        self.data = data
        self.output_activation = case.pieces.output_activation
        self.predicts_probabilities = False

    def parameters(self) -> list[np.ndarray]:
        """Return each layer's weight, (fan_out, fan_in), then each layer's bias."""
        raise NotImplementedError

    def place(self, x: np.ndarray) -> Any:
        """Return inputs as `predict` takes them."""
        return x


def ready_batches(case: Case, x: Any, target: Any) -> list[tuple[Any, Any]]:
    """Return the first batches of the data, in their order.

    Parameters
    ----------
    case : Case
        Whose batches they are.
    x, target : array
        What they are taken from.
    """
    starts = range(0, min(case.steps, READY) * case.batch, case.batch)
    return [(x[start : start + case.batch], target[start : start + case.batch]) for start in starts]


def shuffled_rows(case: Case, steps: int) -> np.ndarray:
    """Return which rows each of so many batches holds, in the order that seed 0 gives; ours draws the same.

    Parameters
    ----------
    case : Case
        Whose batches they are.
    steps : int
        How many.

    Returns
    -------
    numpy.ndarray, shape (steps, batch)
        Numbers of rows.
    """
    return np.random.default_rng(0).permutation(case.batch * steps).reshape(steps, case.batch)
