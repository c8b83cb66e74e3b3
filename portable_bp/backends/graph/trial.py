"""Compare a replayed step with a called one."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from portable_bp.backends.graph.printers.calls import Executable
from portable_bp.common.trees import leaves, map_leaves

SAMPLE_SIZE = 2**16  # numbers of an array that are compared


@dataclass
class Trial:
    """Two steps, the second of which is compared: in the first, an optimizer's averages are zeros, which hide errors."""

    function: Callable[..., Any]
    carry: Any
    constants: Any
    item: Any
    to_numpy: Callable[[Any], np.ndarray]

    @functools.cached_property
    def called(self) -> tuple[Any, Any]:
        """The carry before and after the second step, called on a copy: the trial must not change the function's own state."""
        function = copy.deepcopy(self.function)
        before = function(self.carry, self.constants, self.item)
        return before, function(before, self.constants, self.item)

    def replay(self, executable: Executable) -> Any:
        """Return the carry after the second step."""
        return executable.run(self.called[0], map_leaves(lambda array: array[None, ...], self.item), range(1))

    def matches(self, replayed: Any, expected: Any) -> bool:
        """Return whether a replayed step changed every array of the carry as expected, except for rounding."""
        arrays = zip(*map(leaves, (self.called[0], replayed, expected)), strict=True)
        return all(_close(*(self.to_numpy(_sample(array)) for array in each)) for each in arrays)


def _sample(array: Any) -> Any:
    stride = math.prod(array.shape) // SAMPLE_SIZE | 1  # odd, so that it does not sample the same few columns in every row
    return array.reshape(-1)[::stride]


def _close(before: np.ndarray, replayed: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether two results are equal within a tolerance relative to the change, which may be small itself."""
    if replayed.dtype.kind != "f":
        return np.array_equal(replayed, expected)
    eps = float(np.finfo(replayed.dtype).eps)
    size, change = (float(np.max(np.abs(each), where=np.isfinite(each), initial=0.0)) for each in (expected, expected - before))
    tolerance = 16.0 * eps * size + math.sqrt(eps) * change
    return np.allclose(replayed, expected, rtol=16.0 * eps, atol=tolerance, equal_nan=True)
