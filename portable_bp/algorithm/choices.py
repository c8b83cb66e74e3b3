"""Turn the names, objects and functions that a user passes into checked pieces of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from portable_bp.algorithm.activations import ACTIVATIONS, Activation, Identity, bounds_of
from portable_bp.algorithm.fields import COUNT, is_in
from portable_bp.algorithm.initializers import INITIALIZERS
from portable_bp.algorithm.losses import LOSSES, Loss
from portable_bp.algorithm.optimizers import OPTIMIZERS, Optimizer
from portable_bp.algorithm.pieces import has_methods, is_pair, resolve
from portable_bp.common.lookup import find
from portable_bp.common.words import counted


def check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the number of inputs and the sizes of the layers as integers, or raise a ValueError."""
    try:
        given = list(sizes)
    except TypeError:
        given = []
    if len(given) < 2 or not all(is_in(size, COUNT) for size in given):
        raise ValueError(
            f"sizes is {sizes!r}, and should be at least two whole numbers from 1 up: the number of inputs, "
            "then of neurons in each layer, as in [2, 4, 3, 2]."
        )
    return tuple(map(int, given))


def refuse_population(members: int | None, reason: str, instead: str) -> None:
    """Raise a TypeError with a reason, and with what to use instead, if a network is a population."""
    if members is not None:
        raise TypeError(f"{reason}, and this is a population of {counted(members, 'member')}: use {instead}.")


def resolve_activations(activation: Any, output_activation: Any, layers: int) -> tuple[Any, ...]:
    """Return an activation for each of the layers above the inputs.

    ``activation`` is one for all of them or a sequence of one for each; ``output_activation``, if not None, replaces the last.
    """
    each = [activation] * layers if is_one_activation(activation) else list(activation)
    if len(each) != layers:
        raise ValueError(
            f"activation has {len(each)} entries, and the network has {layers} layers above its inputs: "
            "give one activation for all of them, or one for each."
        )
    if output_activation is not None:
        each[-1] = output_activation
    return tuple(resolve("activation", given, ACTIVATIONS, Activation) for given in each)


def is_one_activation(activation: Any) -> bool:
    """Return whether an activation is one for several layers, rather than a sequence of one for each."""
    one = isinstance(activation, str) or has_methods(activation, Activation) or is_pair(activation, Activation)
    return one or not isinstance(activation, Sequence)


def resolve_measured_activations(activations: Sequence[Any], loss: Any) -> tuple[Any, ...]:
    """Return the activations through which a loss is computed, or raise a ValueError if it does not suit the output layer.

    A loss with an ``output_activation``, such as a cross-entropy, is computed from the net: the output layer, which must have
    this activation or the identity, is taken as the identity. A loss that takes positive outputs needs an activation that is
    never negative. A user's own activation is not checked.
    """
    *hidden, output = activations
    if type(output) not in ACTIVATIONS.values():
        return tuple(activations)
    name, given = type(loss).__name__, type(output).__name__
    own = getattr(loss, "output_activation", None)
    if own is not None:
        if isinstance(output, type(own)):
            return (*hidden, Identity())
        if not isinstance(output, Identity):
            fitting = next((known for known, kind in ACTIVATIONS.items() if kind is type(own)), type(own).__name__)
            raise ValueError(
                f"the output layer's activation is {given}, and {name} takes the raw net: make the network with "
                f"output_activation='identity', which predicts nets, or {fitting!r}, which predicts probabilities."
            )
    if getattr(loss, "takes_positive", False) and bounds_of(output)[0] < 0.0:
        raise ValueError(
            f"the output layer's activation is {given}, whose values may be negative, and {name} takes positive ones: make the "
            "network with output_activation='exp' or 'softplus'."
        )
    return tuple(activations)


def resolve_initializer(initializer: Any) -> Callable[..., Any]:
    """Return the initializer that was named or given."""
    if isinstance(initializer, str):
        return find("initializer", initializer, INITIALIZERS)
    if callable(initializer):
        return initializer
    raise TypeError(f"initializer is {initializer!r}, and should be a name or a function of a generator and a shape.")


def resolve_loss(loss: Any) -> Any:
    """Return the loss that was named or given."""
    return resolve("loss", loss, LOSSES, Loss)


def resolve_optimizer(optimizer: Any, learning_rate: Any) -> Any:
    """Return the optimizer that was named or given; a learning rate is for a named one only, and None keeps its default."""
    if learning_rate is None:
        return resolve("optimizer", optimizer, OPTIMIZERS, Optimizer)
    if not isinstance(optimizer, str):
        raise ValueError(f"learning_rate is {learning_rate!r}, but {optimizer!r} has its own: give it there.")
    return find("optimizer", optimizer, OPTIMIZERS)(learning_rate=learning_rate)
