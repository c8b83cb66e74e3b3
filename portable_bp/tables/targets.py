"""The target of a table: what a network learns of it, and what a network's outputs say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.tables.columns import Column, measure_spread


@dataclass(frozen=True)
class ClassTarget:
    """Classes, by their numbers; the outputs are the raw nets of a softmax.

    Parameters
    ----------
    name : str
        Of the column.
    kind : {"text", "whole", "number", "boolean"}
        What the labels are.
    classes : tuple of str, int, float or bool
        The labels, sorted; one an output.
    """

    name: str
    kind: str
    classes: tuple[Any, ...]
    task = "classification"
    loss = "cross_entropy"

    @property
    def outputs(self) -> int:
        """How many outputs the network has."""
        return len(self.classes)

    def prepare(self, values: np.ndarray) -> np.ndarray:
        """Return the number of each row's class.

        Parameters
        ----------
        values : array, shape (rows,)
            As a `Column` has them, and every one a class.

        Returns
        -------
        array of int64, shape (rows,)
            From 0 up.
        """
        places = {label: place for place, label in enumerate(self.classes)}
        return np.array([places[value] for value in values.tolist()], dtype=np.int64)

    def restore(self, outputs: np.ndarray) -> dict[str, list[Any]]:
        """Return the columns of predictions.

        Parameters
        ----------
        outputs : array, shape (rows, classes)
            What the network gives.

        Returns
        -------
        dict of str to list
            The classes under the target's name, then the probabilities of each class.
        """
        nets = outputs.astype(np.float64)
        powers = np.exp(nets - nets.max(axis=-1, keepdims=True))
        probabilities = powers / powers.sum(axis=-1, keepdims=True)
        # Of the outputs, which rounding has not made alike.
        predicted: dict[str, list[Any]] = {self.name: [self.classes[place] for place in nets.argmax(axis=-1)]}
        names = [f"{self.name}_probability_{_written(label)}" for label in self.classes]
        return predicted | dict(zip(names, probabilities.T.tolist(), strict=True))


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

    def prepare(self, values: np.ndarray) -> np.ndarray:
        """Return what the outputs should be.

        Parameters
        ----------
        values : array of float64, shape (rows,)
            In the target's own units.

        Returns
        -------
        array of float64, shape (rows, 1)
            Standardized.
        """
        return ((values - self.mean) / self.scale)[:, None]

    def restore(self, outputs: np.ndarray) -> dict[str, list[Any]]:
        """Return the column of predictions.

        Parameters
        ----------
        outputs : array, shape (rows, 1)
            What the network gives.

        Returns
        -------
        dict of str to list
            In the target's own units, under its name.
        """
        return {self.name: (outputs[:, 0].astype(np.float64) * self.scale + self.mean).tolist()}


def learn_target(name: str, column: Column, task: str) -> ClassTarget | NumberTarget:
    """Return what a network learns of a target.

    Parameters
    ----------
    name : str
        Of the column.
    column : Column
        The rows that a network is trained with, none of them missing.
    task : {"classification", "regression"}
        Which of the two.

    Raises
    ------
    ValueError
        If its numbers are too large to standardize.
    """
    if task == "regression":
        return NumberTarget(name, *measure_spread(name, column.values))
    labels = sorted(set(column.values.tolist()))
    if column.kind == "boolean":
        return ClassTarget(name, "boolean", tuple(map(bool, labels)))
    if column.kind == "text":
        return ClassTarget(name, "text", tuple(labels))
    if are_whole(column.values):
        return ClassTarget(name, "whole", tuple(map(int, labels)))
    return ClassTarget(name, "number", tuple(labels))


def are_whole(numbers: np.ndarray) -> bool:
    """Return whether numbers have no fractions.

    Parameters
    ----------
    numbers : array of float64
        Finite.
    """
    return bool((numbers == np.floor(numbers)).all())


def _written(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)
