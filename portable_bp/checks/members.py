"""Check that a user's own piece treats the members of a population as if each were alone.

Built-in pieces use only the last axes of an array. One that uses its first axis, such as a norm over all parameters, would mix
members without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from portable_bp.algorithm.arrays import Array, Layer, Signal, map_parameters
from portable_bp.algorithm.fields import of_member
from portable_bp.algorithm.losses import target_axes
from portable_bp.backends import Backend, is_built_in
from portable_bp.common.trees import leaves, map_leaves

SAMPLES = 3  # of each member, with which activations are compared
UPDATES = 2  # with which optimizers are compared: averages begin with zeros
TOLERANCE = 1e-4


def check_activation(backend: Backend, activation: Any, width: int) -> None:
    """Raise a ValueError if an activation mixes the members of a population."""
    generator = np.random.default_rng(0)
    net, slope = (backend.asarray(generator.normal(size=(2, SAMPLES, width))) for _ in range(2))

    def compute(activation: Any, net: Array, slope: Array) -> list[Array]:
        out = activation.value(net)
        return [out, activation.delta(slope, Signal(net, out))]

    _compare(backend, activation, compute, (net, slope), 2)


def check_loss(backend: Backend, loss: Any, out: Array, target: Array) -> None:
    """Raise a ValueError if a loss mixes the members of a population, given the outs of all of them."""

    def compute(loss: Any, out: Array, *own: Array) -> list[Array]:
        (given,) = own or (target,)
        return [loss.value(out, given), loss.slope(out, given)]

    _compare(backend, loss, compute, (out, target) if target.ndim > target_axes(target) else (out,), out.shape[0])


def check_optimizer(backend: Backend, optimizer: Any, layers: Sequence[Layer]) -> None:
    """Raise a ValueError if an optimizer mixes the members of a population."""
    if is_built_in(optimizer):
        return
    generator = np.random.default_rng(0)
    gradients = [
        map_parameters(lambda parameter: backend.asarray(generator.normal(size=tuple(parameter.shape))), layers)
        for _ in range(UPDATES)
    ]

    def compute(optimizer: Any, layers: Sequence[Layer], gradients: Any) -> list[Array]:
        state = optimizer.init(layers)
        for gradient in gradients:
            layers, state = optimizer.update(gradient, state, layers)
        return leaves(list(layers))

    _compare(backend, optimizer, compute, (list(layers), gradients), layers[0].weight.shape[0])


def _compare(backend: Backend, piece: Any, compute: Callable[..., list[Array]], given: tuple[Any, ...], members: int) -> None:
    """Compare what a function computes for the first and the last member with what it computes for each alone."""
    if is_built_in(piece):
        return
    advice = (
        "compute along the last axes, -1 and -2, and never along the first: an array of a population has its members there; or "
        "train single networks."
    )
    try:
        together = compute(piece, *given)
    except Exception as error:
        raise ValueError(f"{piece!r} fails for the arrays of a population ({error}): {advice}") from error
    for member in {0, members - 1}:
        alone = compute(of_member(piece, member), *map_leaves(lambda array, member=member: array[member, ...], given))
        for all_members, single in zip(together, alone, strict=True):
            found, expected = (np.asarray(backend.to_numpy(array)) for array in (all_members, single))
            fits = found.shape == (members, *expected.shape)
            if not fits or not np.allclose(found[member], expected, TOLERANCE, TOLERANCE, equal_nan=True):
                raise ValueError(
                    f"{piece!r} mixes the members of a population: member {member} has other numbers when it is alone; {advice}"
                )
