"""The loop over batches in Python, for backends that have no faster one."""

from __future__ import annotations

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
