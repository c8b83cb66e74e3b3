"""The target of a table: how it is encoded for a network, and how outputs become predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from portable_bp.common.intervals import errors_needed, rank_of_error
from portable_bp.tables.columns import kind_of
from portable_bp.tables.fitting import compute_statistics
from portable_bp.tables.messages import counted, quoted

TASKS = ("classification", "regression")
# Whole numbers are classes if there are few different ones, each in many rows on average.
MAX_WHOLE_CLASSES, MIN_ROWS_PER_CLASS = 20, 5
MAX_CLASSES = 1000
# Errors of held-out rows that a model keeps: enough for intervals that hold 99.9 % of new rows.
MAX_ERRORS = 1000


@dataclass(frozen=True)
class ClassTarget:
    """Classes, encoded by their index; the outputs are their probabilities."""

    name: str
    classes: tuple[Any, ...]  # the labels, all str, int, float or bool, sorted; one per output
    task = "classification"
    loss = "cross_entropy"
    activation = "softmax"

    @property
    def outputs(self) -> int:
        """The number of outputs."""
        return len(self.classes)

    def encode(self, series: Any) -> np.ndarray:
        """Return the index of each row's class, int64 of shape (rows,)."""
        indices = {label: index for index, label in enumerate(self.classes)}
        return np.array([indices[label] for label in series], dtype=np.int64)

    def decode(self, outputs: np.ndarray) -> dict[str, list[Any]]:
        """Return the classes that outputs of shape (rows, classes) predict and their probabilities, as columns by name."""
        probabilities = outputs.astype(np.float64)
        probabilities /= probabilities.sum(axis=-1, keepdims=True)  # float32 sums to one only nearly
        predicted: dict[str, list[Any]] = {self.name: [self.classes[index] for index in probabilities.argmax(axis=-1)]}
        labels = [str(label).lower() if isinstance(label, bool) else str(label) for label in self.classes]
        names = [f"{self.name}_probability_{label}" for label in labels]
        return predicted | dict(zip(names, probabilities.T.tolist(), strict=True))

    def score(self, outputs: np.ndarray, true: Any, training: Any) -> str:
        """Return the accuracy of outputs as a sentence, and that of always guessing the training rows' most common class."""
        predicted, common = self.decode(outputs)[self.name], training.mode().sort()[0]
        accuracy = np.mean([guess == label for guess, label in zip(predicted, true, strict=True)])
        return (
            f"Accuracy {accuracy:.1%} on {counted(len(true), 'held-out row')}; always guessing {common!r}, the most common "
            f"class, would reach {(true == common).mean():.1%}."
        )

    def calibrated(self, outputs: np.ndarray, true: Any) -> ClassTarget:
        """Return the target itself: classes have probabilities, and no interval."""
        return self

    def half_width(self, coverage: float) -> float:
        """Raise a ValueError, since classes have no interval."""
        raise ValueError(
            f"the model predicts classes of {self.name!r}, which have a probability each and no interval: leave --interval out."
        )

    def describe(self) -> str:
        """Say what the outputs are."""
        return f"the probability of each class of {self.name!r}: {quoted(self.classes)}"


@dataclass(frozen=True)
class NumberTarget:
    """Numbers, standardized."""

    name: str
    mean: float
    scale: float
    errors: tuple[float, ...] = ()  # absolute ones on held-out rows in the target's units, ascending; older models have none
    task = "regression"
    loss = "squared_error"
    activation = "identity"
    outputs = 1

    def encode(self, series: Any) -> np.ndarray:
        """Return the standardized numbers, float64 of shape (rows, 1)."""
        return ((series.cast(float).to_numpy() - self.mean) / self.scale)[:, None]

    def decode(self, outputs: np.ndarray) -> dict[str, list[Any]]:
        """Return the numbers that outputs of shape (rows, 1) predict, in the target's units, as a column by name."""
        return {self.name: (outputs[:, 0].astype(np.float64) * self.scale + self.mean).tolist()}

    def score(self, outputs: np.ndarray, true: Any, training: Any) -> str:
        """Return R2 and the RMSE of outputs as a sentence; the training rows are not used."""
        numbers = true.cast(float).to_numpy()
        squares = ((np.array(self.decode(outputs)[self.name]) - numbers) ** 2).sum()
        spread = ((numbers - numbers.mean()) ** 2).sum()
        error = np.sqrt(squares / len(numbers))
        r2 = f"R2 {1.0 - squares / spread:.3f}" if spread > 0.0 else "R2 undefined (all values are equal)"
        is_worse = spread > 0.0 and squares > spread
        remark = " Always guessing their mean would be better: the network has not learned the target." if is_worse else ""
        rmse = f"{error:,.0f}" if 1e4 <= error < 1e15 else f"{error:.4g}"
        return f"{r2} and RMSE {rmse} (in the units of {self.name!r}) on {counted(len(numbers), 'held-out row')}.{remark}"

    def calibrated(self, outputs: np.ndarray, true: Any) -> NumberTarget:
        """Return the target with the errors of outputs for held-out rows, for intervals; of many errors, some."""
        errors = np.abs(np.array(self.decode(outputs)[self.name]) - true.cast(float).to_numpy())
        errors = np.sort(np.nan_to_num(errors, nan=np.finfo(float).max))  # JSON holds no infinity
        kept = min(len(errors), MAX_ERRORS)
        # Rounded up, which makes intervals of some of the errors a little wider rather than narrower.
        ranks = [math.ceil((number + 1) * (len(errors) + 1) / (kept + 1)) for number in range(kept)]
        return replace(self, errors=tuple(errors[[rank - 1 for rank in ranks]].tolist()))

    def half_width(self, coverage: float) -> float:
        """Return how far from a prediction the limits are of an interval that holds a share of new values.

        ValueError if the errors are too few.
        """
        if not self.errors:
            raise ValueError("the model keeps no errors of held-out rows, which an interval needs: train the model again.")
        count = len(self.errors)
        rank = rank_of_error(count, coverage)
        if rank > count:
            more = ", or train with a larger --held-out" if count < MAX_ERRORS else ""
            raise ValueError(
                f"--interval {coverage} needs the errors of {errors_needed(coverage):,} held-out rows, and the model keeps "
                f"{count:,}: give at most {math.floor(1e4 * count / (count + 1)) / 1e4:g}{more}."
            )
        return self.errors[rank - 1]

    def describe(self) -> str:
        """Say what the output is."""
        return f"({self.name!r} - {self.mean!r}) / {self.scale!r}"


def fit_target(series: Any, task: str) -> ClassTarget | NumberTarget:
    """Fit the encoding of a target to rows in which it is not missing."""
    if task == "regression":
        statistics = compute_statistics(series.cast(float).to_numpy()[:, None])
        return NumberTarget(series.name, statistics.mean.item(), statistics.scale.item())
    return ClassTarget(series.name, tuple(series.unique().sort().to_list()))


def choose_task(series: Any, wanted: str | None) -> tuple[str, str]:
    """Return the task of a target without missing values, and the reason as the end of a sentence.

    Raises ValueError if the target is constant, has too many classes, or does not suit the wanted task.
    """
    name, kind, values = series.name, kind_of(series.dtype), series.n_unique()
    if values == 1:
        raise ValueError(f"the target {name!r} has one value, {series[0]!r}, in all rows: give a target with different values.")
    task, reason = (wanted, "as requested") if wanted else _infer_task(series, kind, values)
    if task == "regression" and kind != "number":
        raise ValueError(
            f"the target {name!r} is {kind}, but regression needs numbers: leave out --task, or convert the target to numbers."
        )
    if task == "classification" and (values > MAX_CLASSES or 2 * values > len(series)):
        raise ValueError(
            f"the target {name!r} has {values:,} different values in {len(series):,} rows, too many for classes: give another "
            "target" + (", or --task regression." if kind == "number" else ".")
        )
    return task, reason


def _infer_task(series: Any, kind: str, values: int) -> tuple[str, str]:
    if kind != "number":
        return "classification", f"since {series.name!r} is {kind}"
    if not (series == series.floor()).all():
        return "regression", f"since {series.name!r} holds numbers with fractions"
    few = values <= max(2, min(MAX_WHOLE_CLASSES, len(series) // MIN_ROWS_PER_CLASS))
    return TASKS[not few], f"since {series.name!r} holds {values:,} different whole numbers in {len(series):,} rows"
