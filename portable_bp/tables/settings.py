"""What may be chosen when a network is trained on a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from portable_bp.tables.inference import Options


@dataclass(frozen=True)
class Settings:
    """What may be chosen.

    Parameters
    ----------
    table, target, model, picture : str
        The file to learn from and the column to predict; where the model and the picture of its losses go.
    hidden : sequence of int
        The neurons of each hidden layer.
    task : {"classification", "regression"}, optional
        Without it, inferred from the target.
    ignored : sequence of str
        Columns to leave out.
    decimal : {"", ".", ","}
        The decimal mark of a CSV file; "" to judge by its numbers.
    numbers, text : sequence of str
        Columns of a CSV file that hold numbers, and text, whatever they look like.
    missing : sequence of str
        What stands for a missing value in a CSV file, besides an empty cell.
    held_out : float
        The share of rows for the score.
    seed : int
        Of the rows held out, the weights and the batches.
    epochs : int
        The most; training stops before when the validation loss does not improve any more.
    batch_size : int, optional
        Without it, a hundredth of the rows, from 32 to 256.
    learning_rate : float
        Of Adam.
    activation : str
        Of the hidden layers.
    backend : str, optional
        As `Network` takes it.
    progress : bool
        Whether a bar is shown.
    """

    table: str
    target: str
    model: str
    picture: str
    hidden: Sequence[int] = (64, 32)
    task: str | None = None
    ignored: Sequence[str] = ()
    decimal: str = ""
    numbers: Sequence[str] = ()
    text: Sequence[str] = ()
    missing: Sequence[str] = ()
    held_out: float = 0.2
    seed: int = 0
    epochs: int = 500
    batch_size: int | None = None
    learning_rate: float = 0.001
    activation: str = "relu"
    backend: str = "auto"
    progress: bool = True

    @property
    def reading(self) -> Options:
        """What is said of a CSV file."""
        return Options(self.decimal, self.numbers, self.text, tuple(self.missing))
