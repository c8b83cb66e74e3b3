"""The plot of a history shows its losses, the best epoch, and a logarithmic axis where it helps."""

import sys

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import portable_bp as bp

pytestmark = pytest.mark.usefixtures("no_windows")


def curves(ax):
    """Return the losses of each curve, by its label."""
    return {line.get_label(): list(line.get_ydata()) for line in ax.lines if len(line.get_xdata()) > 1}


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_training_is_plotted():
    x = np.random.default_rng(0).normal(size=(40, 2))
    network = bp.Network([2, 8, 1], "tanh", backend="numpy", seed=0)
    stopping = bp.EarlyStopping(patience=2)
    history = network.fit(
        x[:30], x[:30, 0], learning_rate=1.0, epochs=30, batch_size=5, validation_data=(x[30:], x[30:, 0]), callbacks=[stopping]
    )
    ax = history.plot()
    assert labels(ax) == ["training", "validation", f"best epoch: {history.best_epoch}"]
    found = curves(ax)
    assert found["training"] == history.loss and found["validation"] == history.validation_loss
    assert list(ax.lines[0].get_xdata()) == list(range(1, len(history.loss) + 1))
    (point,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (history.best_epoch, min(history.validation_loss))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    assert ax.figure.number in pyplot.get_fignums()
    ax.figure.canvas.draw()


def test_without_validation_data_there_is_one_curve():
    ax = bp.History(loss=[3.0, 2.0]).plot()
    assert labels(ax) == ["training"] and len(ax.lines) == 1


@pytest.mark.parametrize("best", [0, 2])
def test_the_best_epoch_is_marked_without_validation_data_too(best):
    ax = bp.History(loss=[3.0, 2.0, 2.5], best_epoch=best).plot()
    assert list(ax.lines[1].get_xdata()) == [best, best]
    assert labels(ax) == ["training", f"best epoch: {best}"]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([1.0, 0.05], "log"),
        ([1.0, 0.5], "linear"),
        ([1.0, 0.0], "linear"),
        ([1.0, -0.05], "linear"),
        ([1e9, 1e-9], "log"),
        ([np.inf, 1.0, 0.01], "log"),
        ([np.nan], "linear"),
    ],
)
def test_the_axis_is_logarithmic_over_more_than_a_decade(losses, scale):
    ax = bp.History(loss=losses).plot()
    assert ax.get_yscale() == scale
    ax.figure.canvas.draw()
    ticks = [label.get_text() for label in ax.get_yticklabels()]
    assert 2 <= len(ticks) < 30


def test_a_decade_is_also_one_between_training_and_validation():
    assert bp.History(loss=[1.0, 0.9], validation_loss=[20.0, 19.0]).plot().get_yscale() == "log"


def test_a_single_epoch_is_visible():
    (line,) = bp.History(loss=[3.0]).plot().lines
    assert line.get_marker() == "o"


def test_axes_that_are_given_are_drawn_into():
    axes = Figure().subplots()
    assert bp.History(loss=[3.0, 2.0]).plot(axes) is axes
    assert pyplot.get_fignums() == []


def test_an_empty_history_is_refused():
    with pytest.raises(ValueError, match="has no finished epoch, so there is no loss to plot: train with epochs=1"):
        bp.History().plot()
    assert pyplot.get_fignums() == []


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'portable-bp\[plot\]'"):
        bp.History(loss=[1.0]).plot()
