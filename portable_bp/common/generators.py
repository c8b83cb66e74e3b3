"""NumPy's generators of random numbers: one for a network, or a tuple of one for each member of a population."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Generators: TypeAlias = np.random.Generator | tuple[np.random.Generator, ...]


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
