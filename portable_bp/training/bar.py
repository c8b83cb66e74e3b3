"""A progress bar, where one is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from portable_bp.common.lookup import require


@contextlib.contextmanager
def bar(shown: bool, steps: int, unit: str) -> Iterator[Callable[..., None]]:
    """Show a bar while the block runs.

    Parameters
    ----------
    shown : bool
        Without it nothing is shown, and tqdm need not be there.
    steps : int
        How many there will be.
    unit : str
        What a step is called.

    Yields
    ------
    callable
        ``tell(made, loss=None)`` moves the bar on and shows a loss beside it.
    """
    if not shown:
        yield lambda made, loss=None: None
        return
    with require("tqdm", "progress").tqdm(total=steps, unit=unit) as line:

        def tell(made: int, loss: float | None = None) -> None:
            line.update(made)
            if loss is not None:
                line.set_postfix(loss=f"{loss:.4g}", refresh=False)

        yield tell
