"""Check each activation's delta and the loss's slope on their own, by finite differences of their values.

They are checked at the nets and outs of the network, in arrays of the network's backend and of the shapes that the network
passes. Random slopes s come from above: the derivative of the sum of s * value along a direction of the nets has to be the sum
of delta(s) along it, which also holds for an activation whose outs depend on the nets of several neurons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.activations import ACTIVATIONS, Activation
from portable_bp.algorithm.arrays import Array, Signal
from portable_bp.backends import Backend, compiled
from portable_bp.inspection.finite_differences import DIFFERS, Comparison, compare
from portable_bp.inspection.names import layer_letter, piece_name

MAX_NUMBERS = 20_000  # nets of a layer, or outs; of a larger batch, evenly spaced samples are taken
MAX_NEURONS = 8  # in a layer of up to this many, each net is moved alone; otherwise as many random directions are tried


class PieceCheck(NamedTuple):
    """Whether the derivative that an activation or a loss gives is that of its value.

    Attributes
    ----------
    name : str
        The activation or the loss.
    letters : tuple of str
        The letters of the layers with this activation; empty for a loss.
    passed : bool
        Whether no finite difference contradicts it.
    verdict : str
        The result as a sentence, which gives the place where the two differ most.
    """

    name: str
    letters: tuple[str, ...]
    passed: bool
    verdict: str


class HostPiece(NamedTuple):
    """A piece as functions of host arrays: ``derivative(slopes, x)`` is that of the sum of ``slopes * value(x)`` at x."""

    value: Callable[[np.ndarray], np.ndarray]
    derivative: Callable[[np.ndarray, np.ndarray], np.ndarray]


class Miss(NamedTuple):
    """A derivative that finite differences contradict."""

    place: tuple[int, ...]  # sample and neuron, only the sample if several nets are moved, empty if those of all samples are
    derivative: float
    difference: float
    misses: int
    checked: int


def check_pieces(
    backend: Backend,
    pieces: tuple[Sequence[Any], Any],
    signals: Sequence[Signal],
    target: Array,
    generator: np.random.Generator,
) -> list[PieceCheck]:
    """Check the distinct activations of a network and its loss, at the signals of a forward pass."""
    activations, loss = pieces
    checks = []
    for activation, numbers in _distinct(activations):
        letters = tuple(layer_letter(number + 1) for number in numbers)
        nets = [backend.to_numpy(signals[number].net) for number in numbers]
        checks.append(_check_activation(activation, letters, backend, nets, generator))
    outs, on_host = backend.to_numpy(signals[-1].out), backend.to_numpy(target)
    return [*checks, _check_loss(loss, backend, outs, on_host, generator)]


def _distinct(activations: Sequence[Any]) -> Iterator[tuple[Any, list[int]]]:
    """Yield each distinct activation with the numbers of its layers."""
    known: list[tuple[Any, list[int]]] = []
    for number, activation in enumerate(activations):
        for other, numbers in known:
            if _is_same(activation, other):
                numbers.append(number)
                break
        else:
            known.append((activation, [number]))
    yield from known


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two activations are one object, or built in and equal, or pairs of the same functions."""
    comparable = type(one) is Activation or type(one) in ACTIVATIONS.values()
    return one is other or (comparable and type(one) is type(other) and one == other)


def _stride(samples: int, neurons: int) -> int:
    """Return the distance of the samples that are checked."""
    return max(1, -(-samples * neurons // MAX_NUMBERS))


def _check_activation(
    activation: Any, letters: tuple[str, ...], backend: Backend, nets: list[np.ndarray], generator: np.random.Generator
) -> PieceCheck:
    value, delta = (compiled(backend, function, activation) for function in (_activation_value, _activation_delta))
    piece = HostPiece(
        lambda net: backend.to_numpy(value(backend.asarray(net))),
        lambda slope, net: backend.to_numpy(delta(backend.asarray(slope), backend.asarray(net))),
    )
    layers = f"layer{'s' * (len(letters) > 1)} {', '.join(letters)}"
    name = f"activation {piece_name(activation)} ({layers})"
    for letter, every_net in zip(letters, nets, strict=True):
        stride = _stride(*every_net.shape)
        net = every_net[::stride, :]
        slopes = generator.choice([-1.0, 1.0], size=net.shape) * generator.uniform(0.5, 1.5, size=net.shape)
        if (miss := _find_miss(piece, net, slopes, generator)) is not None:
            if len(miss.place) == 2:
                at = f"at net {net[miss.place]:.4g} and slope {slopes[miss.place]:.4g}"
            elif miss.place:
                at = f"along a direction of the nets of sample {miss.place[0] * stride + 1} in layer {letter}"
            else:
                at = f"along a direction of all nets of layer {letter}"
            return PieceCheck(
                name, letters, False, f"The delta of {name} is not the derivative of its value: {_told(at, miss)}"
            )
    return PieceCheck(name, letters, True, f"The delta of {name} is the derivative of its value.")


def _check_loss(
    loss: Any, backend: Backend, outs: np.ndarray, target: np.ndarray, generator: np.random.Generator
) -> PieceCheck:
    value, slope = (compiled(backend, function, loss) for function in (_loss_value, _loss_slope))
    stride = _stride(*outs.shape)
    outs, target = outs[::stride, :], target[::stride, ...]
    on_device = backend.asarray(target, None if target.ndim == 2 else target.dtype.name)
    piece = HostPiece(
        lambda out: backend.to_numpy(value(backend.asarray(out), on_device)),
        lambda weights, out: weights[:, None] * backend.to_numpy(slope(backend.asarray(out), on_device)),
    )
    name = f"loss {piece_name(loss)}"
    miss = _find_miss(piece, outs, np.ones(outs.shape[0]), generator)
    if miss is None:
        return PieceCheck(name, (), True, f"The slope of {name} is the derivative of its value.")
    if len(miss.place) == 2:
        sample, output = miss.place
        at = f"at out {outs[miss.place]:.4g} and target {target[miss.place] if target.ndim == 2 else target[sample]:.4g}"
        at += f" (output {output + 1} of sample {sample * stride + 1})" * (outs.shape[1] > 1)
    else:
        at = "along a direction of the outs" + "".join(f" of sample {sample * stride + 1}" for sample in miss.place)
    return PieceCheck(name, (), False, f"The slope of {name} is not the derivative of its value: {_told(at, miss)}")


def _told(at: str, miss: Miss) -> str:
    given, expected = format_apart(miss.derivative, miss.difference)
    return f"{at} it gives {given}, and finite differences give {expected} ({miss.misses} of {miss.checked} places differ)."


def format_apart(one: float, other: float) -> tuple[str, str]:
    """Return two different numbers with as many digits as tell them apart."""
    digits = next((digits for digits in range(4, 17) if f"{one:.{digits}g}" != f"{other:.{digits}g}"), 17)
    return f"{one:.{digits}g}", f"{other:.{digits}g}"


def _find_miss(piece: HostPiece, at: np.ndarray, slopes: np.ndarray, generator: np.random.Generator) -> Miss | None:
    """Return the largest contradiction between a piece's derivative and finite differences of its value, or None."""
    samples, neurons = at.shape
    derivative, size = piece.derivative(slopes, at), np.maximum(1.0, np.abs(at))
    if slopes.shape == at.shape and not _mixes(piece, at, np.arange(at.size).reshape(at.shape)):
        elementwise = compare(
            lambda steps: (slopes * piece.value(at + steps.reshape(at.shape))).reshape(-1),
            derivative.reshape(-1),
            size.reshape(-1),
            _tolerance(derivative),
        )
        return _worst_miss([elementwise], lambda _, place: divmod(place, neurons))

    if _mixes(piece, at, np.broadcast_to(np.arange(samples)[:, None], at.shape)):
        moves, axis = generator.normal(size=(MAX_NEURONS, *at.shape)), None
    elif neurons <= MAX_NEURONS:
        moves, axis = np.eye(neurons)[:, None, :], -1
    else:
        moves, axis = generator.normal(size=(MAX_NEURONS, 1, neurons)), -1

    def compare_along(move: np.ndarray) -> Comparison:
        return compare(
            lambda steps: _total(slopes * piece.value(at + steps[:, None] * move), samples, axis),
            np.atleast_1d(np.sum(derivative * move, axis=axis)),
            np.atleast_1d(np.max(size * (move != 0.0), axis=axis)),
            _tolerance(derivative),
        )

    def place_of(move: int, place: int) -> tuple[int, ...]:
        if axis is None:
            return ()
        return (place, move) if neurons <= MAX_NEURONS else (place,)

    return _worst_miss([compare_along(move) for move in moves], place_of)


def _total(values: np.ndarray, samples: int, axis: int | None) -> np.ndarray:
    """Return the sum of each sample's values, or the sum of all."""
    return np.atleast_1d(np.sum(values.reshape(samples, -1), axis=axis))


def _tolerance(derivative: np.ndarray) -> float:
    """Return the distance that does not matter: where values cancel, as in the tails of gelu_tanh, so much is rounding."""
    finite = np.abs(derivative[np.isfinite(derivative)])
    return max(1e-7 * min(1.0, float(finite.max(initial=0.0))), 1e-200)


def _mixes(piece: HostPiece, at: np.ndarray, index: np.ndarray) -> bool:
    """Return whether a value depends on numbers of another index than its own.

    Two indices differ in some bit, so for each bit the numbers with that bit are moved, and then those without it.
    """
    with np.errstate(all="ignore"):
        base = piece.value(at)
        own = index if base.shape == at.shape else index[:, 0]
        for bit in range(int(index.max()).bit_length()):
            for state in (0, 1):
                moved = piece.value(at + 1e-3 * np.maximum(1.0, np.abs(at)) * ((index >> bit & 1) == state))
                if (np.abs(moved - base) > 1e-12 * np.abs(base))[(own >> bit & 1) != state].any():
                    return True
    return False


def _worst_miss(found: Sequence[Comparison], place_of: Callable[[int, int], tuple[int, ...]]) -> Miss | None:
    """Return the largest of the contradictions in comparisons."""
    distances = np.stack([np.where(each.outcome == DIFFERS, np.abs(each.derivative - each.difference), -1.0) for each in found])
    distances = np.where(np.isnan(distances), np.inf, distances)
    misses = int(np.sum(distances >= 0.0))
    if not misses:
        return None
    move, place = divmod(int(np.argmax(distances)), distances.shape[1])
    derivative, difference = (float(numbers[place]) for numbers in found[move][1:])
    return Miss(place_of(move, place), derivative, difference, misses, distances.size)


def _activation_value(activation: Any, net: Array) -> Array:
    return activation.value(net)


def _activation_delta(activation: Any, slope: Array, net: Array) -> Array:
    return activation.delta(slope, Signal(net, activation.value(net)))


def _loss_value(loss: Any, out: Array, target: Array) -> Array:
    return loss.value(out, target)


def _loss_slope(loss: Any, out: Array, target: Array) -> Array:
    return loss.slope(out, target)
