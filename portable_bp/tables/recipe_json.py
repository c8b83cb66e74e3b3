"""Write a recipe as JSON, and read it from untrusted JSON, every part of which is checked and none of which is executed.

Parts that were added after the first version are optional, and do not change the meaning of the others. Since version 2, the
outputs for classes are probabilities, and there may be several networks: earlier programs refuse it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from portable_bp.network import Network
from portable_bp.storage import ModelFileError, read_json
from portable_bp.tables.columns import MAX_NUMBER, CategoryColumn, LeftOut, NumberColumn
from portable_bp.tables.csv.formats import THOUSANDS_SEPARATORS, UNITS, ColumnFormat
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.targets import ClassTarget, NumberTarget

NOTE = "table"  # the key in Network.notes
VERSION = 2


def write_recipe(recipe: Recipe) -> str:
    """Return a recipe as JSON, with every number exact."""
    columns = [{"kind": column.kind, **vars(column)} for column in recipe.columns]
    target = {"task": recipe.target.task, **vars(recipe.target)}
    left_out = [vars(column) for column in recipe.left_out]
    facts = {"version": VERSION, "columns": columns, "target": target, "left_out": left_out}
    if recipe.formats is not None:
        facts["readings"] = list(map(vars, recipe.formats))
    return json.dumps(facts, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def find_recipe(path: str, network: Network) -> Recipe | None:
    """Return the recipe of a network loaded from ``path``, or None if it has none; ModelFileError if it is not valid."""
    if NOTE not in network.notes:
        return None
    try:
        return read_recipe(network.notes[NOTE], network.sizes[0], network.sizes[-1])
    except ValueError as error:
        raise ModelFileError(f"{path} has an invalid recipe for tables: {error}; train the model again.") from None


def read_recipe(text: str, inputs: int, outputs: int) -> Recipe:
    """Return the recipe that JSON holds, for a network with these numbers of inputs and outputs.

    Raises ValueError if it is not valid; the message has no final period.
    """
    facts = read_json(text)
    # Python's JSON lets through NaN, infinity and lone surrogates, which cannot be computed with or written.
    json.dumps(facts, allow_nan=False, ensure_ascii=False).encode()
    match facts:
        case {"version": version, "columns": [_, *_] as columns, "target": target} if version in (1, VERSION):
            left_out, formats = _read_left_out(facts.get("left_out", [])), _read_formats(facts.get("readings"))
            recipe = Recipe(tuple(map(_read_column, columns)), _read_target(target), left_out, formats)
        case _:
            raise ValueError(f"it is {_shorten(facts)}")
    names = [recipe.target.name, *(column.name for column in (*recipe.columns, *recipe.left_out))]
    if len(set(names)) < len(names):
        raise ValueError("two of its columns have the same name")
    kinds = {column.name: column.kind for column in (*recipe.columns, *recipe.left_out)}
    if any(kinds.get(column_format.name) != column_format.kind for column_format in recipe.formats or ()):
        raise ValueError("it describes how to read columns that it does not have")
    if (recipe.inputs, recipe.target.outputs) != (inputs, outputs):
        raise ValueError(
            f"it has {recipe.inputs} inputs and {recipe.target.outputs} outputs, but the network has {inputs} and {outputs}"
        )
    return recipe


def _read_column(facts: Any) -> NumberColumn | CategoryColumn:
    match facts:
        case {"kind": "number" | "boolean" as kind, "name": str(name), "mean": float(mean), "scale": float(scale)} if (
            _is_spread(mean, scale) and _are_bounds(facts.get("low"), facts.get("high"))
        ):
            return NumberColumn(name, kind, mean, scale, facts.get("low"), facts.get("high"))
        case {"kind": "text", "name": str(name), "categories": [str() | None, *others] as categories} if all(
            isinstance(other, str) for other in others
        ) and len(set(categories)) == len(categories):
            return CategoryColumn(name, tuple(categories))
    raise ValueError(f"{_shorten(facts)} is not a column")


def _read_left_out(facts: Any) -> tuple[LeftOut, ...]:
    if not isinstance(facts, list):
        raise ValueError(f"{_shorten(facts)} is not a list of columns")
    return tuple(map(_read_left_out_column, facts))


def _read_left_out_column(facts: Any) -> LeftOut:
    match facts:
        case {"reason": "ignored" | "index" as reason, "name": str(name)}:
            return LeftOut(name, reason)
        case {"reason": "constant", "name": str(name), "kind": "missing", "value": None}:
            return LeftOut(name, "constant", "missing")
        case {"reason": "constant", "name": str(name), "kind": "text" | "" as kind, "value": str(value)}:
            return LeftOut(name, "constant", kind, value)
        case {"reason": "constant", "name": str(name), "kind": "boolean", "value": bool(value)}:
            return LeftOut(name, "constant", "boolean", value)
        case {"reason": "constant", "name": str(name), "kind": "number", "value": int() | float() as value} if (
            type(value) is not bool and abs(value) <= MAX_NUMBER
        ):
            return LeftOut(name, "constant", "number", value)
    raise ValueError(f"{_shorten(facts)} is not a column that was left out")


def _read_formats(facts: Any) -> tuple[ColumnFormat, ...] | None:
    if facts is None:
        return None
    if not isinstance(facts, list):
        raise ValueError(f"{_shorten(facts)} does not describe how to read columns")
    return tuple(map(_read_format, facts))


def _read_format(facts: Any) -> ColumnFormat:
    match facts:
        case {
            "name": str(name),
            "kind": str(kind),
            "decimal": "." | "," as decimal,
            "thousands": str(thousands),
            "unit": str(unit),
            "missing": [*missing],
        } if (
            thousands in THOUSANDS_SEPARATORS
            and thousands != decimal
            and unit in ("", *UNITS)
            and all(isinstance(marker, str) for marker in missing)
        ):
            return ColumnFormat(name, kind, decimal, thousands, unit, tuple(missing))
    raise ValueError(f"{_shorten(facts)} does not describe how to read a column")


def _read_target(facts: Any) -> ClassTarget | NumberTarget:
    match facts:
        case {"task": "regression", "name": str(name), "mean": float(mean), "scale": float(scale)} if _is_spread(mean, scale):
            if _are_errors(errors := facts.get("errors", [])):
                return NumberTarget(name, mean, scale, tuple(errors))
        case {"task": "classification", "name": str(name), "classes": [_, _, *_] as classes} if _are_labels(classes):
            return ClassTarget(name, tuple(classes))
    raise ValueError(f"{_shorten(facts)} is not a target")


def _is_spread(mean: float, scale: float) -> bool:
    return abs(mean) <= MAX_NUMBER and 1.0 / MAX_NUMBER <= scale <= MAX_NUMBER


def _are_bounds(low: Any, high: Any) -> bool:
    if low is None or high is None:
        return low is high
    return type(low) is type(high) is float and -MAX_NUMBER <= low <= high <= MAX_NUMBER


def _are_errors(facts: Any) -> bool:
    if not isinstance(facts, list) or not all(type(error) is float and 0.0 <= error < math.inf for error in facts):
        return False
    return facts == sorted(facts)


def _are_labels(classes: Sequence[Any]) -> bool:
    """Return whether classes are different and of one type, and whole numbers fit int64."""
    kind = type(classes[0])
    are_alike = kind in (str, int, float, bool) and all(type(label) is kind for label in classes)
    if not are_alike or len(set(classes)) < len(classes):
        return False
    return kind is not int or all(-(2**63) <= label < 2**63 for label in classes)


def _shorten(given: Any) -> str:
    text = ascii(given)
    return text if len(text) <= 80 else f"{text[:77]}..."
