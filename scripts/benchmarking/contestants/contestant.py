"""The base class of the contestants."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from scripts.benchmarking.cases import Case, CaseData

READY = 64  # batches that are prepared before timing, for contestants that do not gather them


class Contestant:
    """One way to train the network of a case.

    ``steps(n)`` trains n steps on batches that are ready, ``epoch(n)`` n steps on batches that are shuffled and gathered first,
    and ``predict(x)`` returns the outputs for what ``asarray`` returned. Each returns when the work is done. One is None if a
    contestant cannot do it, or would do the same as another contestant.
    """

    name = ""  # in the results and reports
    needs = "numpy"  # the backend flag of the library and the device
    steps: Any = None
    epoch: Any = None
    predict: Any = None
    stopwatch: Any = None  # times the library's work on a device: one of ``stopwatches``
    at_least = 20.0  # seconds that it has to become ready, however short the time is
    whole_epochs = False  # whether it always shuffles and gathers: its steps are those of its epoch
    compiles_each_length = False  # whether it compiles anew for another number of steps

    @classmethod
    def load(cls) -> None:
        """Import the library, which takes long only once."""
        importlib.import_module(cls.needs.partition(":")[0])

    def __init__(self, case: Case, data: CaseData) -> None:
        self.case = case
        self.data = data
        self.output_activation = case.pieces.output_activation
        self.predicts_probabilities = False  # whether `predict` returns the softmax of the outputs

    def parameters(self) -> list[np.ndarray]:
        """Return each layer's weight, (fan_out, fan_in), then each layer's bias."""
        raise NotImplementedError

    def asarray(self, x: np.ndarray) -> Any:
        """Return inputs as `predict` takes them."""
        return x


def ready_batches(case: Case, x: Any, target: Any) -> list[tuple[Any, Any]]:
    """Return the first batches of the data, in order."""
    starts = range(0, min(case.steps, READY) * case.batch, case.batch)
    return [(x[start : start + case.batch], target[start : start + case.batch]) for start in starts]


def shuffled_rows(case: Case, steps: int) -> np.ndarray:
    """Return the row numbers of the batches, (steps, batch), in the order that our own fit draws with seed 0."""
    return np.random.default_rng(0).permutation(case.batch * steps).reshape(steps, case.batch)
