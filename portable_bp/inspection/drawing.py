"""Draw a network with matplotlib, with the article's names of layers, neurons and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import map_parameters
from portable_bp.algorithm.choices import refuse_population
from portable_bp.common.lookup import require
from portable_bp.inspection.names import layer_letter, piece_name, weight_name

if TYPE_CHECKING:
    from portable_bp.inspection.trace import Trace

MAX_SHOWN = 8  # neurons of a layer; of a wider one, the first and the last are drawn
FIRST_SHOWN = 5  # of a wider one
MAX_NAMED = 12  # weights between two layers that are drawn with their names and values
COLUMN = 3.4  # the distance of layers, where the distance of neurons is 1
POSITIVE, NEGATIVE, GRAY = "#1f5fa8", "#b4530a", "0.35"  # as on the page; dashes show the sign as well
INCHES = np.array([2.7 / COLUMN, 1.25])  # the size of a unit in a figure that fits
LABEL_SHARES = np.linspace(0.22, 0.78, 15)  # where on its line a weight may be named
LABEL_POINTS = np.linspace(-0.42, 0.42, 7)  # along a label, in inches from its middle
ENOUGH = 0.2  # inches between two labels
MIN_WIDTH, MAX_WIDTH = 0.4, 3.2  # of a line


class Neuron(NamedTuple):
    """A neuron's place in its layer, counted from 0, and where it is drawn."""

    place: int
    x: float
    y: float


def draw(network: Any, trace: Trace | None = None, ax: Any = None) -> Any:
    """Draw a network with matplotlib, layers from left to right.

    Neurons are named as in the article, a_1 and a_2 being the inputs. A line is a weight: blue and solid if it is positive,
    orange and dashed if it is negative, and wider the larger it is. Small networks show the names and values of weights and
    the values of biases. Of a layer of more than 8 neurons, the first 5 and the last are drawn.

    Parameters
    ----------
    network : Network
        The network.
    trace : Trace, optional
        A trace of this network, from `Network.trace`. Its inputs, nets, outs and deltas are shown at the neurons; of a trace of
        several samples, those of the first. The weights are those with which it was made.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into. The default is a new figure of ``matplotlib.pyplot``, whose size fits the network.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, for a title of your own or to save the picture: ``ax.figure.savefig("network.png")``.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the trace is of a network of other sizes.
    TypeError
        If the network is a population.

    Examples
    --------
    >>> import portable_bp as bp
    >>> network = bp.Network([2, 4, 3, 2], backend="numpy", seed=0)
    >>> ax = bp.draw(network, network.trace([1.0, 0.0], [0.0, 1.0]))
    """
    require("matplotlib", "plot")
    refuse_population(network.population, "a drawing shows one network", "network.member(k)")
    sizes = network.sizes
    if trace is not None:
        traced = (trace.inputs.shape[-1], *(trace[letter].net.shape[-1] for letter in trace))
        if traced != sizes:
            raise ValueError(
                f"the trace is of a network of sizes {list(traced)}, and this network has sizes {list(sizes)}: "
                "draw the network that made the trace."
            )
    if ax is None:
        ax = require("matplotlib.pyplot", "plot").subplots(figsize=_figure_size(network, trace), layout="constrained")[1]
    picture = Picture(network, trace, ax)
    picture.draw_weights()
    picture.draw_neurons()
    picture.finish()
    return ax


class Picture:
    """A network on axes."""

    def __init__(self, network: Any, trace: Trace | None, ax: Any) -> None:
        self.sizes, self.activations, self.trace, self.ax = network.sizes, network.activations, trace, ax
        # The weights that a trace was made with are drawn beside its numbers: the network may have been trained since.
        backend, layers = (
            (network.backend, network.layers) if trace is None else (trace.subject.backend, trace.subject.parameters)
        )
        self.to_numpy = backend.to_numpy
        self.layers = map_parameters(self.to_numpy, layers)
        self.columns = [_place_neurons(number, size) for number, size in enumerate(self.sizes)]
        self.named = [layer.weight.size <= MAX_NAMED for layer in self.layers]
        self.labels: list[np.ndarray] = []  # points along those that are written, in inches
        self.largest = max(float(np.abs(layer.weight).max()) for layer in self.layers)

    def draw_weights(self) -> None:
        """Draw a line for each weight between neurons that are drawn."""
        for number, layer in enumerate(self.layers):
            letter, fan_in = layer_letter(number + 1), layer.weight.shape[1]
            for above in self.columns[number + 1]:
                for below in self.columns[number]:
                    value = float(layer.weight[above.place, below.place])
                    self.draw_weight(below, above, value)
                    if self.named[number]:
                        self.label_weight(
                            below, above, f"{weight_name(letter, above.place, below.place, fan_in)} = {value:.3g}"
                        )

    def draw_weight(self, below: Neuron, above: Neuron, value: float) -> None:
        """Draw one weight."""
        share = abs(value) / self.largest if self.largest else 0.0
        self.ax.plot(
            [below.x, above.x],
            [below.y, above.y],
            color=POSITIVE if value >= 0.0 else NEGATIVE,
            linestyle="-" if value >= 0.0 else (0, (4.0, 2.0)),
            linewidth=MIN_WIDTH + (MAX_WIDTH - MIN_WIDTH) * share,
            alpha=0.7,
            zorder=1,
        )

    def label_weight(self, below: Neuron, above: Neuron, text: str) -> None:
        """Write a weight's name and value along its line, where it is far enough from the labels that are there already."""
        ends = np.array([below[1:], above[1:]]) * INCHES
        direction = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
        centers = ends[0] + LABEL_SHARES[:, None] * (ends[1] - ends[0])
        labels = centers[:, None, :] + LABEL_POINTS[:, None] * direction  # (shares, points, 2)
        distance = np.full(len(labels), np.inf)
        for other in self.labels:
            apart = np.linalg.norm(labels[:, :, None, :] - other, axis=-1)
            distance = np.minimum(distance, apart.min(axis=(1, 2)))
        best = int(np.argmax(np.minimum(distance, ENOUGH) - 0.05 * np.abs(LABEL_SHARES - 0.5)))
        self.labels.append(labels[best])
        x, y = centers[best] / INCHES
        angle = np.degrees(np.arctan2(above.y - below.y, above.x - below.x))
        self.ax.text(
            x,
            y,
            text,
            fontsize=7,
            ha="center",
            va="center",
            rotation=angle,
            rotation_mode="anchor",
            transform_rotates_text=True,
            color="0.15",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6},
            zorder=2,
        )

    def draw_neurons(self) -> None:
        """Draw every neuron with its name and numbers, an ellipsis for those left out, and each layer's name."""
        top = max(column[0].y for column in self.columns) + 0.55
        for number, column in enumerate(self.columns):
            letter = layer_letter(number)
            for neuron in column:
                self.ax.plot(neuron.x, neuron.y, "o", markersize=27, markerfacecolor="white", markeredgecolor=GRAY, zorder=3)
                self.write(neuron.x, neuron.y, f"${letter}_{{{neuron.place + 1}}}$", fontsize=11 if neuron.place < 99 else 9)
                if lines := self.numbers_of(number, neuron.place):
                    self.write(neuron.x, neuron.y - 0.27, "\n".join(lines), fontsize=7, va="top", box=True)
            if len(column) < self.sizes[number]:
                self.write(column[-1].x, 0.5 * (column[-2].y + column[-1].y), "⋮", fontsize=16)
            self.write(column[0].x, top, self.name_layer(number), fontsize=9, va="bottom")

    def numbers_of(self, number: int, place: int) -> list[str]:
        """Return what is written below a neuron: with a trace its numbers, and in a small network its bias."""
        lines = []
        if self.trace is not None:
            if number == 0:
                lines.append(f"input {self.first_sample(self.trace.inputs)[place]:.4g}")
            else:
                layer = self.trace[layer_letter(number)]
                lines.append(f"net {self.first_sample(layer.net)[place]:.4g}")
                lines.append(f"out {self.first_sample(layer.out)[place]:.4g}")
                lines.append(f"delta {self.first_sample(layer.delta)[place]:.3g}")
        bias = self.layers[number - 1].bias if number and self.named[number - 1] else None
        if bias is not None:
            lines.append(f"bias {bias[place]:.3g}")
        return lines

    def first_sample(self, array: Any) -> np.ndarray:
        """Return the numbers of a trace's only or first sample."""
        return np.atleast_2d(self.to_numpy(array))[0]

    def name_layer(self, number: int) -> str:
        """Return what is written above a layer."""
        size = self.sizes[number]
        if number == 0:
            return f"layer a\n{size:,} input{'s' * (size > 1)}"
        bias = "" if self.layers[number - 1].bias is None else " + bias" if size == 1 else " + biases"
        activation = piece_name(self.activations[number - 1])
        return f"layer {layer_letter(number)}{activation and ', '}{activation}\n{size:,} neuron{'s' * (size > 1)}{bias}"

    def write(self, x: float, y: float, text: str, box: bool = False, va: str = "center", **options: Any) -> None:
        """Write centered text."""
        white = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8} if box else None
        self.ax.text(x, y, text, ha="center", va=va, bbox=white, zorder=4, **options)

    def finish(self) -> None:
        """Set the limits, add a legend, and hide the frame."""
        lines = require("matplotlib.lines", "plot").Line2D
        handles = [
            lines([], [], color=POSITIVE, linewidth=1.8, label="positive weight"),
            lines([], [], color=NEGATIVE, linewidth=1.8, linestyle=(0, (4.0, 2.0)), label="negative weight"),
            lines([], [], color=GRAY, linewidth=MAX_WIDTH, label=f"largest weight: {self.largest:.3g}"),
        ]
        self.ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, frameon=False, fontsize=8)
        ys = [neuron.y for column in self.columns for neuron in column]
        right = COLUMN * (len(self.sizes) - 1)
        self.ax.set(xlim=(-1.0, right + 1.0), ylim=(min(ys) - 0.95, max(ys) + 1.15))
        self.ax.axis("off")


def _figure_size(network: Any, trace: Trace | None) -> tuple[float, float]:
    """Return a width and a height in inches in which the numbers at the neurons and the weights can be read."""
    rows = max(min(size, FIRST_SHOWN + 2 if size > MAX_SHOWN else size) for size in network.sizes)
    has_numbers = trace is not None or any(
        layer.weight.shape[0] * layer.weight.shape[1] <= MAX_NAMED for layer in network.layers
    )
    width, height = INCHES * (COLUMN * (len(network.sizes) - 1), rows)
    return float(width) + 1.8, float(height) * (1.0 if has_numbers else 0.7) + 1.6


def _place_neurons(number: int, size: int) -> list[Neuron]:
    """Return the neurons of a layer that are drawn, from top to bottom."""
    if size <= MAX_SHOWN:
        places, rows = list(range(size)), np.arange(size, dtype=float)
    else:
        places, rows = [*range(FIRST_SHOWN), size - 1], np.array([*range(FIRST_SHOWN), FIRST_SHOWN + 1.0])
    middle = 0.5 * rows[-1]
    return [Neuron(place, COLUMN * number, float(middle - row)) for place, row in zip(places, rows, strict=True)]
