"""The interactive page of a worked example: one HTML file that works offline.

The page computes every number again in JavaScript, from the data that `page_data` describes. Matrices are lists of rows, with a
row for each neuron and a column for each sample. A number that JSON cannot hold is ``{"float": "NaN"}``, or "Infinity", or
"-Infinity".

    sizes, letters       the number of neurons and the letter of each layer, from a, the inputs
    layers               for each layer above the inputs its letter, weight, bias (a list, or null) and activation
    inputs, target       of every sample; classes are one-hot
    loss                 a piece, with from_net: whether it is computed from the net of the output layer, whose activation then
                         only gives out; and target_bounds, the smallest and largest target, or null
    learning_rate        of the last step, the update
    decimals             results are rounded to this many decimals before they are used further, halves to even; null for none
    shown_decimals       how many decimals the page shows
    choices              the activations that a hidden layer and the output layer can have
    constants            of the normal distribution and of the smallest rate
    python               what Python computed: error, error_after, and for each layer net, out, slope, delta, weight_gradient,
                         bias_gradient and derivative (null if an out depends on several nets)

An activation or a loss is its name, its settings, and its formulas as text, of its value and of its derivative, in which {x},
{net}, {out} and {target} stand for names or numbers. Where own is true it was written by the user, and only Python can compute
it.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import math
from typing import Any

import numpy as np

from portable_bp.algorithm import normal
from portable_bp.algorithm.activations import ACTIVATIONS, smallest_rate
from portable_bp.algorithm.choices import resolve_measured_activations
from portable_bp.algorithm.losses import LOSSES
from portable_bp.common.lookup import require
from portable_bp.inspection.explanation.formulas import FORMULAS, filled
from portable_bp.inspection.explanation.worked import Worked, WorkedLayer
from portable_bp.inspection.names import layer_letter, piece_name

MAX_NUMBERS = 200_000  # of which each takes some 40 characters of the page, with what Python computed
# The template, and what is put into it. The scripts are one module, in this order.
FILES = ("page.html.jinja", "page.css", "arithmetic.js", "formulas.js", "steps.js", "drawing.js", "page.js")


def render_page(worked: Worked, shown_decimals: int) -> str:
    """Return the interactive page of a worked example as HTML."""
    held = sum(layer.weight.size + layer.net.size for layer in worked.layers)
    if held > MAX_NUMBERS:
        raise ValueError(
            f"the trace has {held:,} weights and nets, and a page holds {MAX_NUMBERS:,}: trace fewer samples or a smaller "
            "network, or use to_text, which abbreviates large matrices."
        )
    jinja2 = require("jinja2", "explain")
    folder = importlib.resources.files("portable_bp.inspection.explanation") / "page"
    template, style, *scripts = [(folder / name).read_text(encoding="utf-8") for name in FILES]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(data=page_data(worked, shown_decimals), style=style, scripts=scripts)


def page_data(worked: Worked, shown_decimals: int) -> dict[str, Any]:
    """Return all that the page shows, ready for JSON."""
    return {
        "sizes": worked.sizes,
        "letters": [layer_letter(0), *(layer.letter for layer in worked.layers)],
        "layers": [
            {
                "letter": layer.letter,
                "weight": _plain(layer.weight),
                "bias": _flat(layer.bias),
                "activation": _piece(layer.shown_activation),
            }
            for layer in worked.layers
        ],
        "inputs": _plain(worked.inputs),
        "target": _plain(worked.target),
        "loss": {**_piece(worked.loss), "from_net": worked.is_from_net, "target_bounds": _target_bounds(worked.loss)},
        "learning_rate": worked.learning_rate,
        "decimals": worked.decimals,
        "shown_decimals": shown_decimals,
        "choices": {"hidden": _choices(None), "output": _choices(worked.loss)},
        "constants": {
            "numerator": normal.NUMERATOR,
            "denominator": normal.DENOMINATOR,
            "limit": normal.LIMIT,
            "smallest_rate": smallest_rate(np.zeros(())),
        },
        "python": {
            "error": _plain(worked.error),
            "error_after": _plain(worked.error_after),
            "layers": [_numbers(layer) for layer in worked.layers],
        },
    }


def _numbers(layer: WorkedLayer) -> dict[str, Any]:
    """Return what Python computed of a layer."""
    names = ("net", "out", "slope", "derivative", "delta", "weight_gradient")
    return {**{name: _plain(getattr(layer, name)) for name in names}, "bias_gradient": _flat(layer.bias_gradient)}


def _piece(piece: Any) -> dict[str, Any]:
    """Return the name and the settings of an activation or a loss."""
    own = type(piece) not in (*ACTIVATIONS.values(), *LOSSES.values())
    settings = {} if own else {field.name: _plain(getattr(piece, field.name)) for field in dataclasses.fields(piece)}
    formulas = None if own else [filled(each, piece).text for each in FORMULAS[type(piece)]]
    return {"name": piece_name(piece), "settings": settings, "own": own, "formulas": formulas}


def _target_bounds(loss: Any) -> Any:
    """Return a built-in loss's smallest and largest target; None if any number will do."""
    return _plain(getattr(loss, "target_bounds", None)) if type(loss) in LOSSES.values() else None


def _choices(loss: Any) -> list[dict[str, Any]]:
    """Return the built-in activations that an output layer can have with a loss; without one, all of them."""
    pieces = [make() for make in dict.fromkeys(ACTIVATIONS.values())]
    return [_piece(piece) for piece in pieces if _suits(piece, loss)]


def _suits(activation: Any, loss: Any) -> bool:
    try:
        resolve_measured_activations([activation], loss)
    except ValueError:
        return False
    return True


def _flat(column: np.ndarray | None) -> Any:
    return None if column is None else _plain(column[:, 0])


def _plain(value: Any) -> Any:
    """Return arrays and tuples as lists, and numbers that JSON lacks as objects."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    return value
