"""The optional progress bar."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from portable_bp.common.lookup import require


@contextlib.contextmanager
def progress_bar(wanted: bool, batches: int) -> Iterator[Callable[..., None]]:
    """Show a bar while the block runs, and yield ``show(done, loss=None)``, which moves it; tqdm is needed only if wanted."""
    if not wanted:
        yield lambda done, loss=None: None
        return
    with require("tqdm", "progress").tqdm(total=batches, unit="batch") as line:

        def show(done: int, loss: Any = None) -> None:
            line.update(done - line.n)
            if loss is not None:
                line.set_postfix(loss=f"{np.mean(loss):.4g}", refresh=False)  # in a population, the mean of its members

        yield show
