"""Check the weights and biases of a network."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from portable_bp.algorithm.arrays import Layer
from portable_bp.backends import Backend
from portable_bp.checks.bounds import ALLOW, refuse_nonfinite
from portable_bp.checks.conversion import as_array


def check_weights(
    backend: Backend, weights: Sequence[Any], biases: Sequence[Any] | None, check_finite: bool
) -> tuple[Layer, ...]:
    """Return weights and biases on the backend, as layers that fit together; without biases, they are None.

    All arrays may have a leading axis of members.
    """
    taken = _take(backend, weights, "weight")
    shapes = [tuple(weight.shape) for weight in taken]
    members = shapes[0][:-2] if shapes else ()
    are_matrices = shapes and len(members) < 2 and all(len(shape) == len(members) + 2 and 0 not in shape for shape in shapes)
    if not are_matrices or any(below[-2] != above[-1] for below, above in itertools.pairwise(shapes)):
        raise ValueError(
            f"weights have shapes {shapes}, and should have (fan_out, fan_in), each fan_in being the fan_out before it."
        )
    if any(shape[:-2] != members for shape in shapes):
        raise ValueError(
            f"weights have shapes {shapes}, and those of a population should have (members, fan_out, fan_in), with the same "
            "number of members in each."
        )
    if check_finite:
        for number, weight in enumerate(taken, start=1):
            refuse_nonfinite(backend, weight, f"weight {number}", ALLOW)
    if biases is None:
        return tuple(Layer(weight, None) for weight in taken)
    taken_biases = _take(backend, biases, "bias")
    bias_shapes, expected = [tuple(bias.shape) for bias in taken_biases], [shape[:-1] for shape in shapes]
    if bias_shapes != expected:
        raise ValueError(f"biases have shapes {bias_shapes}, and should have {expected}: one number for each row of a weight.")
    return tuple(map(Layer, taken, taken_biases))


def check_same(networks: Any) -> list[Any]:
    """Return single networks that can be members of one population, or raise an error that names one that differs."""
    if not isinstance(networks, Iterable):
        raise TypeError(f"networks is {networks!r}, and should be a list of networks to stack.")
    given = list(networks)
    if not given:
        raise ValueError("there are no networks to stack: give at least one.")
    for number, network in enumerate(given):
        if not hasattr(network, "layers"):
            raise TypeError(f"network {number} is {network!r}, and a population is stacked of networks: give a list of them.")
        if network.population is not None:
            raise ValueError(f"network {number} is a population: stack its members, from network.member(k).")
    first = given[0]
    for number, network in enumerate(given):
        for what in ("sizes", "activations", "backend"):
            own, expected = getattr(network, what), getattr(first, what)
            if own != expected:
                raise ValueError(
                    f"network {number} has {what} {own}, and network 0 has {expected}: the members of a population must have "
                    "the same."
                )
        if (network.layers[0].bias is None) != (first.layers[0].bias is None):
            raise ValueError(f"network {number} differs from network 0 in having biases: all members have them, or none.")
    return given


def _take(backend: Backend, arrays: Sequence[Any], name: str) -> list[Any]:
    if not isinstance(arrays, Iterable):
        plural = {"weight": "weights", "bias": "biases"}[name]
        raise TypeError(f"{plural} is {arrays!r}, and should be a list of arrays, one for each layer above the inputs.")
    return [as_array(backend, array, f"{name} {number}") for number, array in enumerate(arrays, start=1)]
