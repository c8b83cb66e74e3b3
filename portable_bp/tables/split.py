"""Which rows of a table are for what: learning, stopping in time, and the score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Of the rows that are not held out.
VALIDATION = 0.1


class Split(NamedTuple):
    """Numbers of rows, none of them in two places.

    Attributes
    ----------
    training : array of int, shape (rows,)
        To learn from: weights, means and categories.
    validation : array of int, shape (rows,)
        To stop by.
    held_out : array of int, shape (rows,)
        Seen by nothing but the score.
    """

    training: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray


def split_rows(groups: np.ndarray, held_out: float, generator: np.random.Generator) -> Split:
    """Return which rows are for what, drawn anew for each generator.

    Parameters
    ----------
    groups : array of int, shape (rows,)
        Numbers from 0 up. Each group is shared out alike, and the last row of one stays in training.
    held_out : float
        The share of rows for the score.
    generator : numpy.random.Generator
        Of the order.

    Raises
    ------
    ValueError
        If that leaves one of the three without rows.
    """
    order = generator.permutation(len(groups))
    drawn = _draw(groups[order], held_out)
    rest = order[~drawn]
    stopping = _draw(groups[rest], VALIDATION)
    split = Split(rest[~stopping], rest[stopping], order[drawn])
    if not all(len(rows) for rows in split):
        raise ValueError(
            f"{len(groups)} rows cannot be shared out: {len(split.training)} to learn from, {len(split.validation)} to stop "
            f"by, {len(split.held_out)} held out; give more rows of each class, or another --held-out."
        )
    return split


def _draw(groups: np.ndarray, share: float) -> np.ndarray:
    """Return which rows are drawn, the first ones of each group."""
    counts = np.bincount(groups)
    most = np.maximum(counts - 1, 0)
    quotas = np.minimum(np.floor(counts * share).astype(int), most)
    left = max(round(len(groups) * share), 1) - quotas.sum()
    # Those that lost most to rounding are first to have one more.
    for group in np.argsort(quotas - counts * share, kind="stable"):
        if left > 0 and quotas[group] < most[group]:
            quotas[group] += 1
            left -= 1
    ranks = np.empty(len(groups), dtype=int)
    by_group = np.argsort(groups, kind="stable")
    ranks[by_group] = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks < quotas[groups]
