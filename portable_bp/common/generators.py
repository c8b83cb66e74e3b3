"""NumPy's generators of random numbers: one for a network, or a tuple of one for each member of a population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

Generators: TypeAlias = np.random.Generator | tuple[np.random.Generator, ...]

# The array that holds the states of a population in a file: as JSON, those of a large one exceed a file's header.
GENERATORS = "generators"
# The high and low half of state and inc, has_uint32, uinteger.
COLUMNS = 6
_HALF = 2**64


def state_of(generator: Any) -> Any:
    """Return the state of a generator, or a list of those of several."""
    return [state_of(each) for each in generator] if isinstance(generator, tuple) else generator.bit_generator.state


def set_state(generator: Any, state: Any) -> None:
    """Set the state of a generator, or those of several, to one that ``state_of`` returned."""
    if not isinstance(generator, tuple):
        generator.bit_generator.state = state
        return
    for each, own in zip(generator, state, strict=True):
        set_state(each, own)


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

    The array may come from an untrusted file, but must be of uint64 and shape (generators, 6).
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
