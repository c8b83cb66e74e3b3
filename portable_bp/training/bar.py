"""The optional progress bar."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from portable_bp.common.lookup import require


@contextlib.contextmanager
def progress_bar(wanted: bool, batches: int) -> Iterator[Callable[..., None]]:
    """Show a bar while the block runs, and yield ``show(done, loss=None)``, which moves it; tqdm is needed only if wanted."""
    if not wanted:
        yield lambda done, loss=None: None
        return
    with require("tqdm", "progress").tqdm(total=batches, unit="batch") as line:

        def show(done: int, loss: float | None = None) -> None:
            line.update(done - line.n)
            if loss is not None:
                line.set_postfix(loss=f"{loss:.4g}", refresh=False)

        yield show
