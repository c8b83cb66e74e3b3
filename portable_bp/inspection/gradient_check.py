"""The gradient check: compare backpropagation's gradient with finite differences of the error.

The central difference (E(p + h) - E(p - h)) / 2h has a truncation error of h^2 E'''/6 and a rounding error proportional to
1/h, so h is the cube root of the dtype's epsilon. Each parameter of a small layer is moved alone; those of a large layer are
moved along random directions. The moved networks are evaluated together, as a population. Where the two disagree, differences
at several steps tell an error from rounding and from a kink, and a check of each activation and of the loss finds its cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import Array, Layer, map_parameters
from portable_bp.algorithm.propagation import Propagation, measure_error, propagate
from portable_bp.backends import Backend, compiled
from portable_bp.inspection.finite_differences import AGREES, DIFFERS, KINK, TOLERANCE, UNDECIDED, compare
from portable_bp.inspection.names import layer_letter, weight_name
from portable_bp.inspection.piece_check import PieceCheck, check_pieces, format_apart

SMALL = 1_000  # in an array of up to this many parameters, each is moved alone
DIRECTIONS = 8  # random directions in which the parameters of a larger array are moved
POPULATION = 128  # moved networks that are evaluated in one call
SHIFT = 1e-3  # how far a network nearby is, relative to its largest parameter


class WorstSlope(NamedTuple):
    """The slope in which the two gradients differ most.

    Attributes
    ----------
    name : str
        The parameter, named as in the article, or a random direction of a layer's parameters.
    backpropagation, finite_difference : float
        The slope of the error, computed in both ways.
    """

    name: str
    backpropagation: float
    finite_difference: float


class LayerCheck(NamedTuple):
    """The check of one layer.

    Attributes
    ----------
    letter : str
        The layer, b being the first above the inputs.
    largest_slope : float
        The size of the layer's largest slope.
    max_relative_error : float
        The largest difference, relative to the largest slope of the layer. Slopes at a kink, or that rounding hides, do not
        count.
    worst : WorstSlope
        The slope with that difference.
    passed : bool
        Whether no slope contradicts finite differences.
    verdict : str
        The result in words.
    """

    letter: str
    largest_slope: float
    max_relative_error: float
    worst: WorstSlope
    passed: bool
    verdict: str


class GradientCheck(NamedTuple):
    """The difference between backpropagation's gradient and finite differences; printed, it is a table and a verdict.

    Attributes
    ----------
    max_relative_error : float
        The largest difference, relative to the largest slope of the network. Slopes at a kink, or that rounding hides, do not
        count.
    worst : WorstSlope
        The slope with that difference.
    layers : tuple of LayerCheck
        The check of every layer, from the first above the inputs.
    pieces : tuple of PieceCheck
        The check of every distinct activation, and of the loss, on its own.
    verdict : str
        The result in words, which names the activation or the loss that is wrong.
    """

    max_relative_error: float
    worst: WorstSlope
    layers: tuple[LayerCheck, ...]
    pieces: tuple[PieceCheck, ...]
    verdict: str

    @property
    def passed(self) -> bool:
        """Whether no slope, activation or loss contradicts finite differences."""
        return all(check.passed for check in (*self.layers, *self.pieces))

    def __str__(self) -> str:
        """Return a table with a line for each layer, and the verdict."""
        header = ("layer", "largest slope", "relative error", "at", "verdict")
        rows = [
            (layer.letter, f"{layer.largest_slope:.3g}", f"{layer.max_relative_error:.1e}", layer.worst.name, layer.verdict)
            for layer in self.layers
        ]
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (header, *rows)
        ]
        return "\n".join([*lines, "", self.verdict])


class CheckedNetwork(NamedTuple):
    """What is checked: the activations and the loss, the layers, and inputs, target and sample weight, all in float64."""

    backend: Backend
    pieces: tuple[Sequence[Any], Any]
    layers: Sequence[Layer]
    data: tuple[Array, ...]


class Slopes(NamedTuple):
    """The slopes of one weight or bias along each move, computed in both ways, and how they compare."""

    names: list[str]
    backpropagation: np.ndarray
    difference: np.ndarray
    outcome: np.ndarray


class Mover:
    """Moves one weight or bias of a network, and evaluates the error of all moved networks as a population."""

    def __init__(self, checked: CheckedNetwork, number: int, field: str, generator: np.random.Generator) -> None:
        self.checked, self.number, self.field = checked, number, field
        self.measure = compiled(checked.backend, measure_error, *checked.pieces)
        self.parameter = checked.backend.to_numpy(getattr(checked.layers[number], field))
        self.moves = _moves(self.parameter, generator)
        self.size = max(1.0, float(np.abs(self.parameter).max()))

    def errors(self, steps: np.ndarray) -> np.ndarray:
        """Return the error after a step along each move."""
        backend, layers = self.checked.backend, list(self.checked.layers)
        found = []
        for start in range(0, len(self.moves), POPULATION):
            part = slice(start, start + POPULATION)
            scaled = steps[part].reshape(-1, *[1] * self.parameter.ndim) * self.moves[part]
            moved = backend.asarray(self.parameter + scaled)
            layers[self.number] = self.checked.layers[self.number]._replace(**{self.field: moved})
            found.append(backend.to_numpy(self.measure(layers, *self.checked.data)))
        return np.concatenate(found)

    def compare(self, gradient: np.ndarray) -> Slopes:
        """Compare the slope along every move with a central difference."""
        names = _names(self.number, self.field, self.parameter, len(self.moves))
        if self.parameter.size <= SMALL:
            slopes = gradient.reshape(-1)
        else:
            slopes = np.sum(self.moves * gradient, axis=tuple(range(1, self.moves.ndim)))
        step = np.cbrt(np.finfo(self.parameter.dtype).eps) * self.size
        steps = np.full(len(self.moves), step)
        difference = (self.errors(steps) - self.errors(-steps)) / (2.0 * step)
        return Slopes(names, slopes, difference, np.full(len(names), AGREES))

    def refine(self, slopes: Slopes, tolerance: float) -> Slopes:
        """Compare the slopes that differ by more than the tolerance again, at several steps."""
        far = ~(np.abs(slopes.backpropagation - slopes.difference) <= tolerance)
        if not far.any():
            return slopes
        found = compare(self.errors, slopes.backpropagation, np.full(len(self.moves), self.size), tolerance)
        difference = np.where(far, found.difference, slopes.difference)
        return slopes._replace(difference=difference, outcome=np.where(far, found.outcome, slopes.outcome))


@np.errstate(all="ignore")  # what is not finite is reported
def compare_gradient(checked: CheckedNetwork, passed: Propagation, generator: np.random.Generator) -> GradientCheck:
    """Compare the gradient of a pass forward and back with finite differences, and each piece with its own.

    ``generator`` draws the random directions and slopes.
    """
    every = _check_layers(checked, passed.gradient, generator)
    pieces = check_pieces(checked.backend, checked.pieces, passed.signals, checked.data[1], generator)
    if all(piece.passed for piece in pieces):
        every = _excuse_kinks(checked, every, generator)
    layers = [_judge_layer(layer_letter(number), slopes) for number, slopes in enumerate(every, start=1)]
    together = _joined(every)
    error, worst = _worst(together)
    return GradientCheck(error, worst, tuple(layers), tuple(pieces), _verdict(error, worst, layers, pieces, together))


def _check_layers(checked: CheckedNetwork, gradient: Sequence[Layer], generator: np.random.Generator) -> list[Slopes]:
    return [_check_layer(checked, number, slopes, generator) for number, slopes in enumerate(gradient)]


def _excuse_kinks(checked: CheckedNetwork, every: list[Slopes], generator: np.random.Generator) -> list[Slopes]:
    """Count differences that are gone in a network nearby as kinks.

    Where several nets are at a kink, as those of a sample of zeros are without biases, no chain rule holds: backpropagation
    gives relu(x) - relu(-x) the slope 0 at x = 0.
    """
    if not any((slopes.outcome == DIFFERS).any() for slopes in every):
        return every
    backend = checked.backend

    def shift(parameter: Array) -> Array:
        host = backend.to_numpy(parameter)
        return backend.asarray(host + SHIFT * max(1.0, float(np.abs(host).max())) * generator.normal(size=host.shape))

    nearby = checked._replace(layers=map_parameters(shift, checked.layers))
    passed = compiled(backend, propagate, *checked.pieces)(nearby.layers, *checked.data)
    found = _check_layers(nearby, passed.gradient, generator)
    return [
        slopes
        if (other.outcome == DIFFERS).any()
        else slopes._replace(outcome=np.where(slopes.outcome == DIFFERS, KINK, slopes.outcome))
        for slopes, other in zip(every, found, strict=True)
    ]


def _check_layer(checked: CheckedNetwork, number: int, gradient: Layer, generator: np.random.Generator) -> Slopes:
    """Compare a layer's gradient with finite differences."""
    found = []
    for field, slopes in gradient._asdict().items():
        if slopes is not None:
            mover = Mover(checked, number, field, generator)
            found.append((mover, mover.compare(checked.backend.to_numpy(slopes))))
    tolerance = TOLERANCE * _largest(_joined([slopes for _, slopes in found]))
    return _joined([mover.refine(slopes, tolerance) for mover, slopes in found])


def _joined(parts: Sequence[Slopes]) -> Slopes:
    names = [name for part in parts for name in part.names]
    return Slopes(names, *(np.concatenate(columns) for columns in list(zip(*parts, strict=True))[1:]))


def _largest(slopes: Slopes) -> float:
    """Return the size of the largest finite slope."""
    numbers = np.abs(np.concatenate([slopes.backpropagation, slopes.difference]))
    return float(numbers[np.isfinite(numbers)].max(initial=0.0))


def _worst(slopes: Slopes) -> tuple[float, WorstSlope]:
    """Return the largest difference relative to the largest slope, and the slope with it."""
    distance = np.abs(slopes.backpropagation - slopes.difference)
    hidden = (slopes.outcome == UNDECIDED) & np.isfinite(distance)  # by rounding
    distance = np.where((slopes.outcome == KINK) | hidden, 0.0, distance)
    worst = int(np.argmax(distance))  # NaN counts as the largest
    numbers = float(slopes.backpropagation[worst]), float(slopes.difference[worst])
    return float(distance[worst]) / (_largest(slopes) or 1.0), WorstSlope(slopes.names[worst], *numbers)


def _judge_layer(letter: str, slopes: Slopes) -> LayerCheck:
    relative_error, worst = _worst(slopes)
    total = len(slopes.names)
    wrong, undecided, kinks = (int(np.sum(slopes.outcome == each)) for each in (DIFFERS, UNDECIDED, KINK))
    if not np.isfinite(relative_error):
        verdict = "not finite"
    elif wrong:
        verdict = f"differs at {wrong} of {total}"
    else:
        verdict = "agrees" if undecided < total else "cannot be checked"
        verdict += f", {undecided} of {total} undecided" if 0 < undecided < total else ""
        verdict += f", {kinks} of {total} at a kink" if kinks else ""
    passed = not wrong and bool(np.isfinite(relative_error))
    return LayerCheck(letter, _largest(slopes), relative_error, worst, passed, verdict)


def _verdict(
    error: float, worst: WorstSlope, layers: Sequence[LayerCheck], pieces: Sequence[PieceCheck], slopes: Slopes
) -> str:
    """Return the result of the whole check in words."""
    sentences = [piece.verdict for piece in pieces if not piece.passed]
    agree = all(layer.passed for layer in layers)
    kinks, undecided = (int(np.sum(slopes.outcome == each)) for each in (KINK, UNDECIDED))
    if sentences:
        sentences += ["The gradient of these samples does not show it."] if agree else []
    elif not np.isfinite(error):
        sentences.append(
            f"The slope of {worst.name} is {worst.backpropagation:g} by backpropagation and {worst.finite_difference:g} by "
            "finite differences: check smaller inputs or weights, and whether your own pieces divide by zero or overflow."
        )
    elif agree and undecided + kinks == len(slopes.names):
        sentences.append("No slope could be compared: try other samples.")
    elif agree and not _largest(slopes):
        sentences.append("All slopes are zero both ways, which proves little: try other samples.")
    elif agree:
        sentences.append(f"The gradient agrees with finite differences to {error:.0e}: backpropagation is right here.")
    else:
        given, expected = format_apart(worst.backpropagation, worst.finite_difference)
        sentences.append(
            f"The gradient is wrong at {worst.name}: backpropagation gives {given}, and finite differences give {expected}. "
            "Each activation and the loss passes on its own. A piece that counts axes from the front does this, since the "
            "moved networks have one more leading axis: use axis=-1 for neurons and axis=-2 for samples."
        )
    if agree and kinks:
        sentences.append(
            f"{kinks} of {len(slopes.names)} slopes are at a kink of the error, as relu has at net 0: it has no derivative "
            "there, and they do not count."
        )
    if agree and undecided:
        sentences.append(
            f"{undecided} of {len(slopes.names)} slopes could not be checked: rounding errors hide them, or they may be at a "
            "kink."
        )
    return " ".join(sentences)


def _moves(parameter: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return directions to move in, of shape (directions, *parameter.shape)."""
    if parameter.size <= SMALL:
        return np.eye(parameter.size, dtype=parameter.dtype).reshape(-1, *parameter.shape)
    directions = generator.normal(size=(DIRECTIONS, *parameter.shape))
    return directions / np.sqrt(np.sum(directions**2, axis=tuple(range(1, directions.ndim)), keepdims=True))


def _names(number: int, field: str, parameter: np.ndarray, moves: int) -> list[str]:
    letter = layer_letter(number + 1)
    if moves != parameter.size or parameter.size > SMALL:
        return [f"the {field} of layer {letter}, in random direction {direction + 1}" for direction in range(moves)]
    if field == "bias":
        return [f"bias_{letter}{row + 1}" for row in range(moves)]
    fan_in = parameter.shape[-1]
    return [weight_name(letter, *divmod(place, fan_in), fan_in) for place in range(moves)]
