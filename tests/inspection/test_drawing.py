"""A drawing shows every neuron and weight of a small network with its name and numbers, and a part of a wide one."""

import re
import sys

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import portable_bp as bp
from portable_bp.inspection import article
from portable_bp.inspection.drawing import NEGATIVE, POSITIVE

pytestmark = pytest.mark.usefixtures("no_windows")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def lines_of_weights(ax):
    """Return the lines between neurons, by their ends."""
    lines = [line for line in ax.lines if len(line.get_xdata()) == 2]
    return {tuple(zip(line.get_xdata(), line.get_ydata(), strict=True)): line for line in lines}


def circles(ax):
    return [line for line in ax.lines if line.get_marker() == "o"]


def test_the_article_s_network_has_the_article_s_names_and_numbers(on_target):
    network = bp.Network.from_weights(article.WEIGHTS, backend=on_target.flag, dtype="float64")
    trace = network.trace(article.INPUTS, article.TARGET)
    ax = bp.draw(network, trace)
    shown = texts(ax)
    assert [name for name in shown if name.startswith("$")] == [
        f"${letter}_{{{place}}}$" for letter, size in zip("abcd", (2, 4, 3, 2), strict=True) for place in range(1, size + 1)
    ]
    names = [f"w_{letter}{place}" for letter, total in (("b", 8), ("c", 12), ("d", 6)) for place in range(1, total + 1)]
    values = [value for matrix in article.WEIGHTS for row in matrix for value in row]
    labels = [text for text in shown if text.startswith("w_")]
    assert labels == [f"{name} = {value:.3g}" for name, value in zip(names, values, strict=True)]
    assert [text for text in shown if text.startswith("input")] == ["input 1", "input 0"]
    nets = [float(number) for text in shown for number in re.findall(r"net (.*)", text)]
    outs = [float(number) for text in shown for number in re.findall(r"out (.*)", text)]
    deltas = [float(number) for text in shown for number in re.findall(r"delta (.*)", text)]
    # The article's values, of which net_d1 is a misprint.
    printed = {name: list(article.PRINTED[name]) for name in article.PRINTED} | {"net_d": [0.9440, 1.6397]}
    np.testing.assert_allclose(nets, [number for letter in "bcd" for number in printed[f"net_{letter}"]], atol=6e-4)
    np.testing.assert_allclose(outs, [number for letter in "bcd" for number in printed[f"out_{letter}"]], atol=2e-4)
    out = np.array(outs[-2:])
    np.testing.assert_allclose(deltas[-2:], (out - np.array(article.TARGET)) * out * (1.0 - out), rtol=5e-3)
    assert "layer a\n2 inputs" in shown and "layer b, sigmoid\n4 neurons" in shown and "layer d, sigmoid\n2 neurons" in shown


def test_a_line_shows_the_sign_by_color_and_by_style_and_the_size_by_width():
    weight = [[0.1, -0.2, 0.4], [-0.8, 0.0, 1.6]]
    ax = bp.draw(bp.Network.from_weights([weight], backend="numpy"))
    lines = lines_of_weights(ax)
    assert len(lines) == 6
    inputs, outputs = (sorted({ends[side] for ends in lines}, key=lambda point: -point[1]) for side in (0, 1))
    widths = {}
    for row, above in enumerate(outputs):
        for column, below in enumerate(inputs):
            line, value = lines[below, above], weight[row][column]
            assert to_hex(line.get_color()) == (NEGATIVE if value < 0.0 else POSITIVE)
            assert line.is_dashed() is (value < 0.0)
            widths[abs(value)] = line.get_linewidth()
    ordered = [widths[size] for size in sorted(widths)]
    assert ordered == sorted(set(ordered)) and ordered[-1] - ordered[-2] == pytest.approx(8.0 * (ordered[1] - ordered[0]))
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["positive weight", "negative weight", "largest weight: 1.6"]


def test_biases_are_noted():
    network = bp.Network.from_weights([[[1.0], [2.0]]], [[0.25, -3.0]], "tanh", backend="numpy")
    shown = texts(bp.draw(network))
    assert "bias 0.25" in shown and "bias -3" in shown
    assert "layer b, tanh\n2 neurons + biases" in shown and "layer a\n1 input" in shown
    bare = texts(bp.draw(bp.Network.from_weights([[[1.0], [2.0]]], backend="numpy")))
    assert not [text for text in bare if "bias" in text]


def test_a_wide_layer_is_abbreviated():
    ax = bp.draw(bp.Network([784, 8, 9, 1], "relu", backend="numpy", seed=0))
    shown = texts(ax)
    assert [text for text in shown if text.startswith("$a")] == [*(f"$a_{{{place}}}$" for place in range(1, 6)), "$a_{784}$"]
    assert sum(text.startswith("$b") for text in shown) == 8
    assert "$c_{9}$" in shown and "$c_{8}$" not in shown
    assert shown.count("⋮") == 2
    assert "layer a\n784 inputs" in shown and "layer c, relu\n9 neurons + biases" in shown
    assert not [text for text in shown if text.startswith("w_b")]  # too many to be named
    assert len(circles(ax)) == 6 + 8 + 6 + 1 and len(lines_of_weights(ax)) == 6 * 8 + 8 * 6 + 6


def test_the_width_of_a_line_is_that_of_its_own_weight_in_a_wide_layer():
    weight = np.zeros((1, 20))
    weight[0, 19] = -2.0
    lines = lines_of_weights(bp.draw(bp.Network.from_weights([weight], backend="numpy")))
    dashed = [ends for ends, line in lines.items() if line.is_dashed()]
    assert len(lines) == 6 and len(dashed) == 1
    assert dashed[0][0][1] == min(below[1] for below, _ in lines)  # the last input is at the bottom


def test_the_first_sample_of_a_batch_is_shown():
    network = bp.Network([2, 3, 1], "tanh", backend="numpy", seed=0)
    x, target = [[0.5, -1.25], [3.0, 4.0]], [0.0, 1.0]
    shown = texts(bp.draw(network, network.trace(x, target)))
    assert "input 0.5" in shown and "input -1.25" in shown
    net = network.layers[0].weight @ np.array(x[0])
    assert [text.splitlines()[0] for text in shown if text.startswith("net")][:3] == [f"net {number:.4g}" for number in net]


def test_labels_of_weights_are_apart():
    ax = bp.draw(bp.Network.from_weights(article.WEIGHTS, backend="numpy"))
    places = [text.get_position() for text in ax.texts if text.get_text().startswith("w_")]
    distances = [np.hypot(*np.subtract(one, other)) for place, one in enumerate(places) for other in places[:place]]
    assert min(distances) > 0.2


def test_everything_is_within_the_picture():
    network = bp.Network([3, 8, 2], backend="numpy", seed=0)
    ax = bp.draw(network, network.trace([1.0, 2.0, 3.0], [0.0, 1.0]))
    figure = ax.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    for text in (*ax.texts, *ax.get_legend().get_texts()):
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text.get_text()


def test_axes_that_are_given_are_drawn_into():
    axes = Figure().subplots()
    network = bp.Network([2, 2], backend="numpy", seed=0)
    assert bp.draw(network, ax=axes) is axes
    assert pyplot.get_fignums() == []
    assert bp.draw(network).figure.number in pyplot.get_fignums()


def test_a_network_of_zeros_is_drawn():
    ax = bp.draw(bp.Network([2, 2], backend="numpy", initializer="zeros"))
    assert len(lines_of_weights(ax)) == 4


def test_the_trace_of_another_network_is_refused():
    network, other = (bp.Network(sizes, backend="numpy", seed=0) for sizes in ([2, 3, 1], [2, 4, 1]))
    with pytest.raises(ValueError, match=r"sizes \[2, 4, 1\], and this network has sizes \[2, 3, 1\]: draw the network"):
        bp.draw(network, other.trace([1.0, 0.0], [1.0]))
    assert pyplot.get_fignums() == []


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'portable-bp\[plot\]'"):
        bp.draw(bp.Network([2, 1], backend="numpy"))


def test_a_trace_is_drawn_with_the_weights_that_it_was_made_with():
    network = bp.Network.from_weights([[[0.5]]], None, "identity", backend="numpy", dtype="float64")
    trace = network.trace([1.0], [0.0])
    network.fit([[1.0]], [[0.0]], learning_rate=1.0)
    assert network.layers[0].weight[0, 0] == 0.0
    assert any(text.startswith("w_b1 = 0.5") for text in texts(bp.draw(network, trace)))
