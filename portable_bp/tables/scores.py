"""How good predictions are on rows that nothing was learned from."""

from __future__ import annotations

from typing import Any

import numpy as np

from portable_bp.tables.targets import ClassTarget, NumberTarget
from portable_bp.tables.words import counted, in_units


def tell_score(target: ClassTarget | NumberTarget, predicted: list[Any], true: np.ndarray, seen: np.ndarray) -> str:
    """Return a line with the score.

    Parameters
    ----------
    target : ClassTarget or NumberTarget
        What was predicted.
    predicted : list, of length rows
        In the target's own units or labels.
    true : array, shape (rows,)
        What the table has there.
    seen : array
        What the table has where it was learned from.
    """
    rows = counted(len(true), "held-out row")
    if isinstance(target, ClassTarget):
        common = target.classes[np.bincount(target.prepare(seen)).argmax()]
        return _tell_accuracy(predicted, true.tolist(), common, rows)
    return _tell_errors(np.array(predicted), true, target.name, rows)


def _tell_accuracy(predicted: list[Any], true: list[Any], common: Any, rows: str) -> str:
    accuracy = np.mean([guess == label for guess, label in zip(predicted, true, strict=True)])
    guessing = np.mean([label == common for label in true])
    return f"Accuracy {accuracy:.1%} on {rows}; always guessing {common!r}, the most common class, would reach {guessing:.1%}."


def _tell_errors(predicted: np.ndarray, true: np.ndarray, name: str, rows: str) -> str:
    squares = ((predicted - true) ** 2).sum()
    spread = ((true - true.mean()) ** 2).sum()
    r2 = f"R2 {1.0 - squares / spread:.3f}" if spread > 0.0 else "R2 not defined, since they have one value,"
    return f"{r2} and RMSE {in_units(np.sqrt(squares / len(true)))} (in the units of {name!r}) on {rows}."
