"""Plot the losses of a training with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from portable_bp.common.lookup import require

if TYPE_CHECKING:
    from portable_bp.training.history import History

WIDE = 10.0  # positive losses that differ by more than this factor have a logarithmic axis
MAX_CURVES = 12  # a population of up to this many members is drawn as curves, a larger one as bands
# Each band's label, lower and upper quantile, and opacity.
BANDS = (("5\u201395 % of members", 0.05, 0.95, 0.15), ("25\u201375 % of members", 0.25, 0.75, 0.25))
CURVE = {"alpha": 0.4, "linewidth": 0.8, "markersize": 3.0}
BEST = {"linestyle": "--", "linewidth": 1.0, "markersize": 3.0}
NEUTRAL = "0.35"  # the gray of legend entries for both training and validation


def plot_history(history: History, axes: Any, training_label: str = "training") -> None:
    """Draw the losses of every epoch into axes, with labels and a legend."""
    epochs = range(1, len(history.loss) + 1)
    marker = "o" if len(epochs) == 1 else None
    axes.plot(epochs, history.loss, label=training_label, marker=marker)
    if history.validation_loss:
        axes.plot(epochs, history.validation_loss, label="validation", marker=marker)
    if history.best_epoch is not None:
        axes.axvline(history.best_epoch, color="0.4", linestyle=":", label=f"best epoch: {history.best_epoch}")
        if history.validation_loss and history.best_epoch:
            axes.plot([history.best_epoch], [history.validation_loss[history.best_epoch - 1]], "o", color="C1")
    _scale_losses(axes, [loss for loss in history.loss + history.validation_loss if math.isfinite(loss)])
    _label(axes, len(epochs))


def plot_members(histories: Any, axes: Any, training_label: str = "training") -> None:
    """Draw the losses of a population's members into axes: their median, their spread and the best member.

    The histories are a `PopulationHistory`. The spread is a curve for each of a few members, or bands for
    many. The best member has the lowest last finite loss: of validation, if there is one.
    """
    given = {training_label: np.asarray(histories.loss), "validation": np.asarray(histories.validation_loss)}
    # Quantiles next to an infinite loss would be infinite or NaN.
    series = {label: np.where(np.isfinite(losses), losses, np.nan) for label, losses in given.items() if len(losses)}
    epochs, members = given[training_label].shape
    has_bands = members > MAX_CURVES and epochs > 1  # the band of a single epoch would have no width
    draw_spread = _draw_bands if has_bands else _draw_curves
    for number, (label, losses) in enumerate(series.items()):
        draw_spread(axes, losses, f"C{number}")
        _plot(axes, _quantile(losses, 0.5), color=f"C{number}", label=f"{label} (median)" if members > 1 else label)
    if members > 1:
        _draw_legend_of_spread(axes, epochs, has_bands)
        _draw_best(axes, list(series.values()))
    _scale_losses(axes, _leave_out_divergence(axes, list(series.values())))
    _label(axes, epochs)


def _plot(axes: Any, losses: np.ndarray, **style: Any) -> None:
    """Plot one or several curves, as points if there is a single epoch."""
    axes.plot(range(1, len(losses) + 1), losses, marker="o" if len(losses) == 1 else None, **style)


def _draw_curves(axes: Any, losses: np.ndarray, color: str) -> None:
    _plot(axes, losses, color=color, **CURVE)


def _draw_bands(axes: Any, losses: np.ndarray, color: str) -> None:
    for _, low, high, opacity in BANDS:
        bounds = _quantile(losses, low), _quantile(losses, high)
        axes.fill_between(range(1, len(losses) + 1), *bounds, color=color, alpha=opacity, linewidth=0.0)


def _draw_best(axes: Any, series: list[np.ndarray]) -> None:
    """Draw the curves of the member whose last validation loss, or else training loss, is the lowest."""
    best = _find_best(series[-1])
    if best is None:
        return
    to_rgb = require("matplotlib.colors", "plot").to_rgb
    for number, losses in enumerate(series):
        darker = [0.6 * part for part in to_rgb(f"C{number}")]
        _plot(axes, losses[:, best], color=darker, **BEST)
    _plot(axes, np.full(len(series[-1]), np.nan), color=NEUTRAL, label=f"best member: {best}", **BEST)


def _draw_legend_of_spread(axes: Any, epochs: int, has_bands: bool) -> None:
    """Draw nothing but entries of the legend, for curves or bands of all colors."""
    if not has_bands:
        _plot(axes, np.full(epochs, np.nan), color=NEUTRAL, label="each member", **CURVE)
        return
    for label, _, _, opacity in BANDS[::-1]:
        axes.fill_between([], [], color=NEUTRAL, alpha=opacity, linewidth=0.0, label=label)


def _find_best(losses: np.ndarray) -> int | None:
    """Return the member whose last finite loss is the lowest, or None if there are no finite losses."""
    finite = np.isfinite(losses)
    if not finite.any():
        return None
    last = len(losses) - 1 - np.argmax(finite[::-1], axis=0)
    return int(np.nanargmin(np.take_along_axis(losses, last[None], axis=0)))


def _quantile(losses: np.ndarray, level: float, method: Any = "linear") -> np.ndarray:
    """Return a quantile over the members in training for each epoch, NaN if there are none."""
    quantiles, finite = np.full(len(losses), np.nan), np.isfinite(losses).any(axis=1)
    quantiles[finite] = np.nanquantile(losses[finite], level, axis=1, method=method)
    return quantiles


def _leave_out_divergence(axes: Any, series: list[np.ndarray]) -> tuple[float, float]:
    """Let the losses of diverging members leave the axes at the top, and return the range that the axis of losses shows.

    A diverging member has a loss of more than ten times the highest median.
    """
    low, high = axes.dataLim.intervaly
    # The lower one of two middle losses, since one of two members may diverge.
    medians = np.concatenate([_quantile(losses, 0.5, "lower") for losses in series])
    highest = np.max(medians, where=np.isfinite(medians), initial=-np.inf)
    if 0.0 < WIDE * highest < high:
        others = [losses[:, ~(losses > WIDE * highest).any(axis=0)] for losses in series]
        high = max(np.max(losses, where=np.isfinite(losses), initial=highest) for losses in others)
        axes.dataLim.intervaly = low, high
    return low, high


def _scale_losses(axes: Any, losses: Sequence[float]) -> None:
    """Make the axis of losses logarithmic if they are positive and differ by more than a factor of ten."""
    if not losses or min(losses) <= 0.0 or max(losses) <= WIDE * min(losses):
        return
    axes.set_yscale("log", subs=[])
    if max(losses) < 1e4 * min(losses):  # over more decades, ticks between the powers of ten would be too many
        axes.yaxis.set_major_locator(require("matplotlib.ticker", "plot").LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")


def _label(axes: Any, epochs: int) -> None:
    axes.set_xlim(0, epochs + 1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(framealpha=0.8, edgecolor="none")
