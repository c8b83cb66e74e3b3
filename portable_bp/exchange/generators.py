"""Pack the states of many random generators into one array: as JSON, those of a large population exceed a file's header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

GENERATORS = "generators"
# The high and low half of state and inc, has_uint32, uinteger.
COLUMNS = 6
_HALF = 2**64


def pack_generators(states: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the states of PCG64 generators as an array of uint64, of shape (generators, 6)."""
    rows = [
        [
            *divmod(state["state"]["state"], _HALF),
            *divmod(state["state"]["inc"], _HALF),
            state["has_uint32"],
            state["uinteger"],
        ]
        for state in states
    ]
    return np.array(rows, np.uint64)


def unpack_generators(array: np.ndarray) -> list[dict[str, Any]]:
    """Return the states that ``pack_generators`` packed, or raise a ValueError if one is not of a PCG64 generator.

    The array may come from an untrusted file, but must have the shape and dtype that ``check_network`` requires.
    """
    return [_unpack(number, *row) for number, row in enumerate(array.tolist())]


def _unpack(
    number: int, state_high: int, state_low: int, inc_high: int, inc_low: int, has_uint32: int, uinteger: int
) -> dict[str, Any]:
    # NumPy accepts an even inc, which gives bad random numbers.
    if inc_low % 2 == 0 or has_uint32 > 1 or uinteger >= 2**32:
        raise ValueError(f"the state of random numbers of member {number} is not one of PCG64")
    state = {"state": state_high * _HALF + state_low, "inc": inc_high * _HALF + inc_low}
    return {"bit_generator": "PCG64", "state": state, "has_uint32": has_uint32, "uinteger": uinteger}
