"""The loop over batches in Python, for backends that have no faster one, and which functions may change between two loops."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from portable_bp.common.trees import item

# loop(constants) returns run(carry, items, steps, expected=1, total=1), as `Backend.loop` documents it.
Loop = Callable[..., Callable[[Any, Any, int], Any]]


def plain_loop(function: Callable[[Any, Any, Any], Any]) -> Loop:
    """Return the loop that calls ``function(carry, constants, item)`` once for each item."""

    def loop(constants: Any) -> Callable[..., Any]:
        def run(carry: Any, items: Any, steps: int, expected: float = 1, total: float = 1) -> Any:
            for number in range(steps):
                carry = function(carry, constants, item(items, number))
            return carry

        return run

    return loop


def is_fixed(function: Callable[..., Any]) -> bool:
    """Return whether the pieces bound to a function are this package's own, down to numbers: they always do the same."""
    return isinstance(function, functools.partial) and is_built_in(function.args)


def is_built_in(pieces: Any) -> bool:
    """Return whether pieces are this package's own, down to numbers."""
    if isinstance(pieces, tuple) and all(map(is_built_in, pieces)):
        return True
    if isinstance(pieces, bool | int | float | str | type(None)):
        return True
    own = type(pieces).__module__.startswith("portable_bp.")
    fields = getattr(pieces, "__dataclass_fields__", None)
    return own and fields is not None and all(is_built_in(getattr(pieces, name)) for name in fields)
