"""A recipe as JSON, and back from what may be a stranger's: every part is checked, and nothing of it is run.

What was added since the first version of it may not be there, and does not change what is there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from portable_bp.network import Network
from portable_bp.storage import ModelFileError, read_json
from portable_bp.tables.columns import LARGEST, CategoryColumn, LeftOut, NumberColumn
from portable_bp.tables.reading import THOUSANDS, UNITS, Reading
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.targets import ClassTarget, NumberTarget

NOTE = "table"
VERSION = 1


def write_recipe(recipe: Recipe) -> str:
    """Return a recipe as JSON, which keeps every number exactly."""
    columns = [{"kind": column.kind, **vars(column)} for column in recipe.columns]
    target = {"task": recipe.target.task, **vars(recipe.target)}
    left_out = [vars(column) for column in recipe.left_out]
    facts = {"version": VERSION, "columns": columns, "target": target, "left_out": left_out}
    if recipe.readings is not None:
        facts["readings"] = list(map(vars, recipe.readings))
    return json.dumps(facts, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def find_recipe(path: str, network: Network) -> Recipe | None:
    """Return the recipe that a model file holds, or None where it has none.

    Parameters
    ----------
    path : str
        What the message calls the file.
    network : Network
        As `load` gave it.

    Raises
    ------
    ModelFileError
        If it is no recipe, or none that fits the network.
    """
    if NOTE not in network.notes:
        return None
    try:
        return read_recipe(network.notes[NOTE], network.sizes[0], network.sizes[-1])
    except ValueError as error:
        raise ModelFileError(f"{path} has a recipe of a table that cannot be true: {error}.") from None


def read_recipe(text: str, inputs: int, outputs: int) -> Recipe:
    """Return the recipe that a text holds.

    Parameters
    ----------
    text : str
        As `write_recipe` gives it; it may be anything.
    inputs, outputs : int
        Of the network beside it.

    Raises
    ------
    ValueError
        If it is no recipe, or none of such a network; the message is the end of a sentence.
    """
    facts = read_json(text)
    # JSON lets through NaN, infinity and halves of characters, which can be neither reckoned with nor written.
    json.dumps(facts, allow_nan=False, ensure_ascii=False).encode()
    match facts:
        case {"version": version, "columns": [_, *_] as columns, "target": target} if version == VERSION:
            # Older models say neither what was left out nor how columns are read.
            left_out, readings = _read_left_out(facts.get("left_out", [])), _read_readings(facts.get("readings"))
            recipe = Recipe(tuple(map(_read_column, columns)), _read_target(target), left_out, readings)
        case _:
            raise ValueError(f"it is {_short(facts)}")
    names = [recipe.target.name, *(column.name for column in (*recipe.columns, *recipe.left_out))]
    if len(set(names)) < len(names):
        raise ValueError("it has a name twice")
    kinds = {column.name: column.kind for column in (*recipe.columns, *recipe.left_out)}
    if any(kinds.get(reading.name) != reading.kind for reading in recipe.readings or ()):
        raise ValueError("it says how columns are read that it has not")
    if (recipe.inputs, recipe.target.outputs) != (inputs, outputs):
        raise ValueError(
            f"it has {recipe.inputs} inputs and {recipe.target.outputs} outputs, and the network has {inputs} and {outputs}"
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
    raise ValueError(f"{_short(facts)} is no column")


def _read_left_out(facts: Any) -> tuple[LeftOut, ...]:
    if not isinstance(facts, list):
        raise ValueError(f"{_short(facts)} are no columns")
    return tuple(map(_read_one_left_out, facts))


def _read_one_left_out(facts: Any) -> LeftOut:
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
            type(value) is not bool and abs(value) <= LARGEST
        ):
            return LeftOut(name, "constant", "number", value)
    raise ValueError(f"{_short(facts)} is no column that was left out")


def _read_readings(facts: Any) -> tuple[Reading, ...] | None:
    if facts is None:
        return None
    match facts:
        case [*entries]:
            return tuple(map(_read_reading, entries))
    raise ValueError(f"{_short(facts)} does not say how columns are read")


def _read_reading(facts: Any) -> Reading:
    match facts:
        case {
            "name": str(name),
            "kind": str(kind),
            "decimal": "." | "," as decimal,
            "thousands": str(thousands),
            "unit": str(unit),
            "missing": [*missing],
        } if (
            thousands in THOUSANDS
            and thousands != decimal
            and unit in ("", *UNITS)
            and all(isinstance(mark, str) for mark in missing)
        ):
            return Reading(name, kind, decimal, thousands, unit, tuple(missing))
    raise ValueError(f"{_short(facts)} does not say how a column is read")


def _read_target(facts: Any) -> ClassTarget | NumberTarget:
    match facts:
        case {"task": "regression", "name": str(name), "mean": float(mean), "scale": float(scale)} if _is_spread(mean, scale):
            return NumberTarget(name, mean, scale)
        case {"task": "classification", "name": str(name), "classes": [_, _, *_] as classes} if _are_labels(classes):
            return ClassTarget(name, tuple(classes))
    raise ValueError(f"{_short(facts)} is no target")


def _is_spread(mean: float, scale: float) -> bool:
    return abs(mean) <= LARGEST and 1.0 / LARGEST <= scale <= LARGEST


def _are_bounds(low: Any, high: Any) -> bool:
    if low is None or high is None:
        return low is high
    return type(low) is type(high) is float and -LARGEST <= low <= high <= LARGEST


def _are_labels(classes: Sequence[Any]) -> bool:
    """Return whether all differ and are of one type, whole numbers of 64 bits."""
    kind = type(classes[0])
    alike = kind in (str, int, float, bool) and all(type(label) is kind for label in classes)
    return (
        alike and len(set(classes)) == len(classes) and (kind is not int or all(-(2**63) <= label < 2**63 for label in classes))
    )


def _short(given: Any) -> str:
    text = ascii(given)
    return text if len(text) <= 80 else f"{text[:77]}..."
