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
SIZES = (1e-3, 1.0, 1e3)  # of the slopes with which optimizers are compared: they may be clipped, or divided by their norm
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

    def draw(size: float) -> list[Layer]:
        return map_parameters(lambda array: backend.asarray(generator.normal(0.0, size, tuple(array.shape))), layers)

    def compute(optimizer: Any, layers: Sequence[Layer], gradients: Any) -> list[Array]:
        """Return the changes of the parameters, and the state, after two updates: averages begin with zeros."""
        changed, state = layers, optimizer.init(layers)
        for gradient in gradients:
            changed, state = optimizer.update(gradient, state, changed)
        changes = map_parameters(lambda new, old: new - old, changed, layers)
        return [each for each in leaves([changes, state]) if hasattr(each, "shape")]

    for size in SIZES:
        _compare(backend, optimizer, compute, (list(layers), [draw(size), draw(size)]), layers[0].weight.shape[0])


def _compare(backend: Backend, piece: Any, compute: Callable[..., list[Array]], given: tuple[Any, ...], members: int) -> None:
    """Compare what a function computes for the first and the last member with what it computes for each alone."""
    if is_built_in(piece):
        return
    advice = (
        "compute along the last axes, -1 and -2, and never along the first: an array of a population has its members there; or "
        "train single networks."
    )
    largest = max(float(np.max(np.abs(backend.to_numpy(array)))) for array in leaves(given))
    try:
        together = [np.asarray(backend.to_numpy(array)) for array in compute(piece, *given)]
        alone = {member: compute(of_member(piece, member), *_member_of(given, member)) for member in {0, members - 1}}
    except Exception as error:
        raise ValueError(f"{piece!r} fails for the arrays of a population ({error}): {advice}") from error
    for member, arrays in alone.items():
        for found, single in zip(together, arrays, strict=True):
            expected = np.asarray(backend.to_numpy(single))
            is_shared = found.shape == expected.shape == ()  # such as a count of updates
            if not is_shared and found.shape != (members, *expected.shape):
                raise ValueError(
                    f"{piece!r} gives an array of shape {found.shape} for {members} members, and of {expected.shape} for one "
                    f"alone, so its first axis is not that of the members: {advice}"
                )
            rounding = 8.0 * float(np.finfo(found.dtype).eps) * largest if found.dtype.kind == "f" else 0.0
            tolerance = TOLERANCE * float(np.max(np.abs(expected), where=np.isfinite(expected), initial=0.0)) + rounding
            if not np.allclose(found if is_shared else found[member], expected, 0.0, tolerance, equal_nan=True):
                raise ValueError(
                    f"{piece!r} mixes the members of a population: member {member} has other numbers when it is alone; {advice}"
                )


def _member_of(given: tuple[Any, ...], member: int) -> Any:
    return map_leaves(lambda array: array[member, ...], given)
