"""Make generators of random numbers from seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

from portable_bp.algorithm.fields import SEED, check_number
from portable_bp.common.generators import Generators


def as_generators(seed: Any, members: int | None) -> Generators:
    """Return the generator of a network, or those of the members of a population.

    Member k of a population with the seed s has the generator of a single network with the seed s + k.
    """
    if members is None:
        return _as_generator(seed)
    if isinstance(seed, np.random.Generator):
        return tuple(_as_generator(seed).spawn(members))
    if np.ndim(seed) == 1 and not isinstance(seed, str | bytes):
        if len(seed) != members:
            raise ValueError(
                f"seed holds {len(seed)} seeds, and the population has {members} members: give one for each, or one number."
            )
        given = [each for each in seed if isinstance(each, np.random.Generator)]
        if len(set(map(id, given))) < len(given):
            raise ValueError("seed holds a generator twice, and members draw numbers of their own: give a generator for each.")
        return tuple(_as_generator(each) for each in (seed.tolist() if isinstance(seed, np.ndarray) else seed))
    first = check_number(seed, "seed", SEED)
    return tuple(np.random.default_rng(None if first is None else first + member) for member in range(members))


def _as_generator(seed: Any) -> np.random.Generator:
    """Return the generator of a single network."""
    if not isinstance(seed, np.random.Generator):
        return np.random.default_rng(check_number(seed, "seed", SEED))
    if type(seed.bit_generator) is not np.random.PCG64:  # model files and checkpoints could not be read again
        raise ValueError(f"seed is {seed!r}, and files can store only the state of PCG64: use numpy.random.default_rng.")
    return seed
