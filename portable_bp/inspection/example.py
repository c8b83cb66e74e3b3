"""The worked example as a table: every number of a trace, named as in the article."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from portable_bp.inspection.article import MISPRINTS, PRINTED
from portable_bp.inspection.names import weight_name
from portable_bp.inspection.trace import Trace


def named_numbers(trace: Trace, to_numpy: Callable[[Any], np.ndarray]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a trace of one sample with names such as net_b1, out_b1, E_total, delta_d1 or dE/dw_d1.

    They come in the order of computation: forward first, then back.
    """
    for letter in trace:
        for field in ("net", "out"):
            numbers = to_numpy(getattr(trace[letter], field)).tolist()
            yield from ((f"{field}_{letter}{place}", number) for place, number in enumerate(numbers, start=1))
    yield "E_total", to_numpy(trace.error).item()
    for letter in reversed(list(trace)):
        numbers = to_numpy(trace[letter].delta).tolist()
        yield from ((f"delta_{letter}{place}", number) for place, number in enumerate(numbers, start=1))
        gradient = trace[letter].gradient
        for (row, column), slope in np.ndenumerate(to_numpy(gradient.weight)):
            yield f"dE/d{weight_name(letter, row, column, gradient.weight.shape[-1])}", float(slope)
        if gradient.bias is not None:
            slopes = to_numpy(gradient.bias).tolist()
            yield from ((f"dE/dbias_{letter}{place}", slope) for place, slope in enumerate(slopes, start=1))


def article_table(columns: Mapping[str, Mapping[str, float]], decimals: int | None) -> tuple[str, bool]:
    """Return a table of each backend's named numbers next to the article's, and whether they match except for known misprints.

    With 4 decimals, as in the article, values must match to the last printed digit; without rounding (``decimals`` is None),
    within one unit of that digit. With other roundings, nothing is compared.
    """
    printed = {f"{name}{place}": number for name, row in PRINTED.items() for place, number in enumerate(row, start=1)}
    allowed = {None: 1e-4, 4: 0.5e-4}.get(decimals, float("inf"))
    shown = 8 if decimals is None else decimals
    width = max(shown + 3, *(len(name) for name in columns))
    lines = [f"{'value':<10}{'article':>9}" + "".join(f"  {name:>{width}}" for name in columns)]
    agrees = True
    for name in next(iter(columns.values())):
        numbers = [column[name] for column in columns.values()]
        line = f"{name:<10}" + (f"{printed[name]:9.4f}" if name in printed else " " * 9)
        line += "".join(f"  {number:>{width}.{shown}f}" for number in numbers)
        if name in printed and not all(abs(number - {**printed, **MISPRINTS}[name]) < allowed for number in numbers):
            line += "  <- differs from the article"
            agrees = False
        elif name in MISPRINTS:
            line += f"  <- a misprint of the article: with and without rounding it is {MISPRINTS[name]:.4f}"
        lines.append(line)
    return "\n".join(lines), agrees
