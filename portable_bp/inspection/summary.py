"""Describe a network as an HTML table, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.needs import count
from portable_bp.inspection.names import layer_letter, piece_name


def summary_table(title: str, layers: Sequence[Layer], activations: Sequence[Any]) -> str:
    """Return a table with a row for each layer: its letter, neurons, activation and number of parameters."""
    rows = [("a", layers[0].weight.shape[-1], "inputs", 0)]
    for number, (layer, activation) in enumerate(zip(layers, activations, strict=True), start=1):
        rows.append((layer_letter(number), layer.weight.shape[-2], piece_name(activation), count([layer])))
    rows.append(("", "", "", count(layers)))
    cells = "".join(f"<tr>{''.join(f'<td>{html.escape(_shown(value))}</td>' for value in row)}</tr>" for row in rows)
    head = "<tr><th>layer</th><th>neurons</th><th>activation</th><th>parameters</th></tr>"
    return f"<table><caption>{html.escape(title)}</caption><thead>{head}</thead><tbody>{cells}</tbody></table>"


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
