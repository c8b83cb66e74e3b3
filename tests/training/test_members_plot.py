"""The plot of a population shows the median, the spread and the best member, and no diverging member hides the others."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from portable_bp.training.plot import plot_members


def draw_losses(members, epochs=30, seed=0):
    """Return losses that fall from about 1 to 0.1, which end early for every third member but the first."""
    generator = np.random.default_rng(seed)
    losses = np.geomspace(1.0, 0.1, epochs)[:, None] * np.exp(0.2 * generator.normal(size=(epochs, members)))
    for member in range(3, members, 3):
        losses[generator.integers(1, epochs + 1) :, member] = np.nan
    return losses


def plot(loss, validation_loss=None, **settings):
    loss = np.asarray(loss, float)
    validation_loss = np.empty((0, loss.shape[1])) if validation_loss is None else np.asarray(validation_loss, float)
    axes = Figure().subplots()
    plot_members(SimpleNamespace(loss=loss, validation_loss=validation_loss), axes, **settings)
    axes.figure.canvas.draw()
    return axes


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def find_line(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line


def dashed(axes):
    """Return the losses of the best member, of training and of validation; not the entry of the legend."""
    return [line.get_ydata() for line in axes.lines if line.get_linestyle() == "--" and line.get_label().startswith("_")]


def bands(axes):
    """Return the lower and upper bound of each band, by its color and opacity."""
    found = {}
    for band in axes.collections:
        assert isinstance(band, PolyCollection)
        if band.get_paths() and band.get_label().startswith("_"):
            vertices = band.get_paths()[0].vertices
            ends = [vertices[vertices[:, 0] == epoch, 1] for epoch in np.unique(vertices[:, 0])]
            found[tuple(band.get_facecolor()[0])] = np.array([[end.min(), end.max()] for end in ends]).T
    return found


def test_few_members_have_a_curve_each():
    loss, validation = draw_losses(12), 2.0 * draw_losses(12, seed=1)
    axes = plot(loss, validation)
    best = np.argmin([column[np.isfinite(column)][-1] for column in validation.T])
    assert labels(axes) == ["training (median)", "validation (median)", "each member", f"best member: {best}"]
    for number, (label, losses) in enumerate([("training", loss), ("validation", validation)]):
        median = find_line(axes, f"{label} (median)")
        np.testing.assert_allclose(median.get_ydata(), np.nanmedian(losses, axis=1))
        np.testing.assert_array_equal(median.get_xdata(), np.arange(1, 31))
        assert median.get_color() == f"C{number}"
        curves = [line.get_ydata() for line in axes.lines if line.get_color() == f"C{number}" and line is not median]
        np.testing.assert_array_equal(np.transpose(curves), losses)
        np.testing.assert_array_equal(dashed(axes)[number], losses[:, best])
    assert not bands(axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")


def test_many_members_have_bands():
    loss, validation = draw_losses(13), 2.0 * draw_losses(13, seed=1)
    axes = plot(loss, validation)
    medians, spread = ["training (median)", "validation (median)"], ["25\u201375 % of members", "5\u201395 % of members"]
    assert labels(axes)[:-1] == medians + spread
    found = bands(axes)
    assert len(found) == 4
    for color, losses in (("C0", loss), ("C1", validation)):
        for opacity, levels in ((0.15, (0.05, 0.95)), (0.25, (0.25, 0.75))):
            np.testing.assert_allclose(found[to_rgba(color, opacity)], np.nanquantile(losses, levels, axis=1))
    assert len(dashed(axes)) == 2 and len(axes.lines) == 5


def test_without_validation_data_the_training_loss_says_which_member_is_best():
    axes = plot([[3.0, 3.0, 3.0], [2.0, 1.0, 1.5], [np.nan, np.nan, 1.2]], training_label="training, with dropout")
    assert labels(axes) == ["training, with dropout (median)", "each member", "best member: 1"]
    np.testing.assert_array_equal(dashed(axes), [[3.0, 1.0, np.nan]])


def test_infinite_losses_are_those_of_no_member():
    axes = plot([[3.0, 2.0], [np.inf, 1.0], [-np.inf, 1.5]])
    np.testing.assert_array_equal(find_line(axes, "training (median)").get_ydata(), [2.5, 1.0, 1.5])
    assert labels(axes)[-1] == "best member: 1"


@pytest.mark.parametrize("members", [3, 40])
def test_epochs_in_which_no_member_trains_are_empty(members):
    losses = draw_losses(members)
    losses[20:] = np.nan
    axes = plot(losses, losses)
    assert np.isnan(find_line(axes, "validation (median)").get_ydata()[20:]).all()
    assert axes.get_xlim() == (0, 31)


@pytest.mark.parametrize("members", [3, 40])
def test_without_any_finite_loss_no_member_is_best(members):
    losses = np.full((5, members), np.nan)
    assert not any(label.startswith("best") for label in labels(plot(losses, losses)))


def test_a_population_of_one_is_drawn_as_a_network():
    axes = plot([[3.0], [2.0]], [[3.0], [2.5]])
    assert labels(axes) == ["training", "validation"]
    np.testing.assert_array_equal(find_line(axes, "validation").get_ydata(), [3.0, 2.5])


@pytest.mark.parametrize("members", [3, 40])
def test_a_single_epoch_is_visible(members):
    axes = plot(draw_losses(members, epochs=1), draw_losses(members, epochs=1))
    assert not bands(axes)
    assert {line.get_marker() for line in axes.lines} == {"o"}


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([[1.0, 1.0], [0.05, 0.5]], "log"), ([[1.0, 1.0], [0.5, 0.4]], "linear"), ([[1.0, 1.0], [-0.05, 0.5]], "linear")],
)
def test_the_axis_is_logarithmic_over_more_than_a_decade(losses, scale):
    assert plot(losses).get_yscale() == scale
    assert plot([[1.0, 1.0]] * 2, losses).get_yscale() == scale


@pytest.mark.parametrize("members", [2, 3, 8, 40])
@pytest.mark.parametrize("falls_to", [0.9, 0.001])
def test_diverging_members_leave_the_axes_at_the_top(members, falls_to):
    losses = np.geomspace(1.0, falls_to, 30)[:, None] * np.linspace(1.0, 1.1, members)
    losses[10:, : max(1, members // 8)] = 1e3 ** np.arange(1, 21)[:, None]
    axes = plot(losses, losses)
    low, high = axes.get_ylim()
    assert 1.0 < high < 2.0 and 0.5 * falls_to < low < 1.1 * falls_to
    assert axes.get_yscale() == ("log" if falls_to < 0.1 else "linear")


def test_members_that_only_differ_stay_within_the_axes():
    losses = np.geomspace(1.0, 0.1, 30)[:, None] * [1.0, 1.0, 9.0]
    assert plot(losses).get_ylim()[1] > 9.0


def test_if_most_members_diverge_the_axis_shows_it():
    losses = np.ones((5, 5))
    losses[2:, :4] = [[1e3], [1e6], [1e9]]
    assert plot(losses).get_ylim()[1] > 1e9
