"""A loop over batches, written once as a Python loop; the backends of libraries that can do better have their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portable_bp.common.trees import item

# loop(constants) returns run(carry, items, steps, expected), which returns the carry after carry = function(carry, constants,
# item) for every item, and is told how many such items there are to be in all.
Loop = Callable[..., Callable[[Any, Any, int], Any]]


def plain_loop(function: Callable[[Any, Any, Any], Any]) -> Loop:
    """Return the loop that calls ``function(carry, constants, item)`` once for each item."""

    def loop(constants: Any) -> Callable[..., Any]:
        def run(carry: Any, items: Any, steps: int, expected: float = 1) -> Any:
            for number in range(steps):
                carry = function(carry, constants, item(items, number))
            return carry

        return run

    return loop
