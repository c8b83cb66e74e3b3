"""The target of a table: what a network learns of it, and what a network's outputs say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.tables.columns import find_kind, quoted
from portable_bp.tables.learning import measure_spread

TASKS = ("classification", "regression")
# Whole numbers of so few values, each in so many rows on average, are classes.
FEW, ROWS_EACH = 20, 5
MOST_CLASSES = 1000


@dataclass(frozen=True)
class ClassTarget:
    """Classes, by their numbers; the outputs are the raw nets of a softmax.

    Parameters
    ----------
    name : str
        Of the column.
    classes : tuple of str, int, float or bool
        The labels, sorted; one an output.
    """

    name: str
    classes: tuple[Any, ...]
    task = "classification"
    loss = "cross_entropy"

    @property
    def outputs(self) -> int:
        """How many outputs the network has."""
        return len(self.classes)

    def prepare(self, series: Any) -> np.ndarray:
        """Return the number of each row's class, int64 of shape (rows,)."""
        places = {label: place for place, label in enumerate(self.classes)}
        return np.array([places[label] for label in series], dtype=np.int64)

    def restore(self, outputs: np.ndarray) -> dict[str, list[Any]]:
        """Return the classes that outputs of shape (rows, classes) say, under the target's name, then their probabilities."""
        nets = outputs.astype(np.float64)
        powers = np.exp(nets - nets.max(axis=-1, keepdims=True))
        probabilities = powers / powers.sum(axis=-1, keepdims=True)
        # Of the nets, which rounding has not made alike.
        predicted: dict[str, list[Any]] = {self.name: [self.classes[place] for place in nets.argmax(axis=-1)]}
        written = [str(label).lower() if isinstance(label, bool) else str(label) for label in self.classes]
        names = [f"{self.name}_probability_{label}" for label in written]
        return predicted | dict(zip(names, probabilities.T.tolist(), strict=True))

    def score(self, outputs: np.ndarray, true: Any, seen: Any) -> str:
        """Return how good outputs are, beside guessing the class that most of the rows seen in training have."""
        predicted, common = self.restore(outputs)[self.name], seen.mode().sort()[0]
        accuracy = np.mean([guess == label for guess, label in zip(predicted, true, strict=True)])
        return (
            f"Accuracy {accuracy:.1%} on {len(true):,} held-out rows; always guessing {common!r}, the most common class, would "
            f"reach {(true == common).mean():.1%}."
        )

    def tell(self) -> str:
        """Return in words what the outputs are."""
        return f"a net for each class of {self.name!r}, the largest for the likeliest: {quoted(self.classes)}"


@dataclass(frozen=True)
class NumberTarget:
    """Numbers, standardized.

    Parameters
    ----------
    name : str
        Of the column.
    mean, scale : float
        In its own units.
    """

    name: str
    mean: float
    scale: float
    task = "regression"
    loss = "squared_error"
    outputs = 1

    def prepare(self, series: Any) -> np.ndarray:
        """Return what the outputs should be, float64 of shape (rows, 1)."""
        return ((series.cast(float).to_numpy() - self.mean) / self.scale)[:, None]

    def restore(self, outputs: np.ndarray) -> dict[str, list[Any]]:
        """Return what outputs of shape (rows, 1) say, in the target's own units, under its name."""
        return {self.name: (outputs[:, 0].astype(np.float64) * self.scale + self.mean).tolist()}

    def score(self, outputs: np.ndarray, true: Any, seen: Any) -> str:
        """Return how good outputs are."""
        numbers = true.cast(float).to_numpy()
        squares = ((np.array(self.restore(outputs)[self.name]) - numbers) ** 2).sum()
        spread = ((numbers - numbers.mean()) ** 2).sum()
        error = np.sqrt(squares / len(numbers))
        r2 = f"R2 {1.0 - squares / spread:.3f}" if spread > 0.0 else "R2 not defined, since they have one value,"
        written = f"{error:,.0f}" if 1e4 <= error < 1e15 else f"{error:.4g}"
        return f"{r2} and RMSE {written} (in the units of {self.name!r}) on {len(numbers):,} held-out rows."

    def tell(self) -> str:
        """Return in words what the output is."""
        return f"({self.name!r} - {self.mean!r}) / {self.scale!r}"


def learn_target(series: Any, task: str) -> ClassTarget | NumberTarget:
    """Return what a network learns of a target, from the rows that it is trained with, none of them missing."""
    if task == "regression":
        spread = measure_spread(series.cast(float).to_numpy()[:, None])
        return NumberTarget(series.name, spread.mean.item(), spread.scale.item())
    return ClassTarget(series.name, tuple(series.unique().sort().to_list()))


def choose_task(series: Any, wanted: str | None) -> tuple[str, str]:
    """Return what a target asks for, "classification" or "regression", and why, as the end of a sentence.

    Parameters
    ----------
    series : polars.Series
        The target, none of it missing.
    wanted : {"classification", "regression"} or None
        What the user says.

    Raises
    ------
    ValueError
        If the target is constant, has too many classes, or is not what the user says.
    """
    name, kind, values = series.name, find_kind(series), series.n_unique()
    if values == 1:
        raise ValueError(f"the target {name!r} has one value, {series[0]!r}, in every row: there is nothing to learn of it.")
    task, reason = (wanted, "as you said") if wanted else _infer(series, kind, values)
    if task == "regression" and kind != "number":
        raise ValueError(f"the target {name!r} is {kind}, and regression is of numbers: leave --task out, or convert it.")
    if task == "classification" and (values > MOST_CLASSES or 2 * values > len(series)):
        raise ValueError(
            f"the target {name!r} has {values:,} different values in {len(series):,} rows, too many for classes: give another "
            "target" + (", or --task regression." if kind == "number" else ".")
        )
    return task, reason


def _infer(series: Any, kind: str, values: int) -> tuple[str, str]:
    if kind != "number":
        return "classification", f"since {series.name!r} is {kind}"
    if not (series == series.floor()).all():
        return "regression", f"since {series.name!r} holds numbers with fractions"
    few = values <= max(2, min(FEW, len(series) // ROWS_EACH))
    return TASKS[not few], f"since {series.name!r} holds {values:,} different whole numbers in {len(series):,} rows"
