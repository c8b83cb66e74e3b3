"""The user's options: how a CSV file is read, and how a network is trained on a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from portable_bp.common.lookup import find


@dataclass(frozen=True)
class CsvOptions:
    """How to read a CSV file, where its cells leave it open.

    Parameters
    ----------
    decimal : {"", ".", ","}
        The decimal mark; "" to infer it from the numbers.
    numbers, text : collection of str
        Columns that hold numbers, and columns that hold text, whatever they look like.
    missing : tuple of str
        Texts that mark a missing value in every column, in addition to empty cells.
    """

    decimal: str = ""
    numbers: Collection[str] = ()
    text: Collection[str] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingOptions:
    """How to train a network on a table; the options of ``portable-bp train``.

    Parameters
    ----------
    table : str
        The file to learn from: CSV or Parquet.
    target : str
        The column to predict.
    model, picture : str
        Where to write the model and the plot of its losses.
    members : int
        The number of networks, whose mean predicts.
    hidden : sequence of int
        The number of neurons in each hidden layer.
    task : {"classification", "regression"}, optional
        Inferred from the target by default.
    ignored : sequence of str
        Columns to leave out.
    decimal, numbers, text, missing
        As in ``CsvOptions``.
    held_out : float
        The fraction of the rows that only the final score uses.
    seed : int
        Seeds the choice of held-out rows, the initial weights, the batches and dropout.
    epochs : int
        The largest number of epochs; training stops earlier once the validation loss no longer improves.
    batch_size : int, optional
        A hundredth of the training rows by default, but at least 32 and at most 256.
    learning_rate : float
        The step size of Adam.
    activation : str
        The activation function of the hidden layers.
    backend : str
        As in `Network`.
    progress : bool
        Whether to show a progress bar.
    """

    table: str
    target: str
    model: str
    picture: str
    members: int = 8
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
    def csv(self) -> CsvOptions:
        """How to read the table, if it is a CSV file."""
        return CsvOptions(self.decimal, self.numbers, self.text, tuple(self.missing))


def find_columns(option: str, given: Sequence[str], names: Sequence[str]) -> set[str]:
    """Look up the columns given to an option, each a name or several joined by commas; ValueError if one is unknown."""
    known = {name: name for name in names}
    parts = [part for entry in given for part in ([entry] if entry in known else entry.split(","))]
    return {find(f"{option} column", part.strip(), known) for part in parts}
