"""A recipe as JSON, and back from what may be a stranger's: every part is checked, and nothing of it is run."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from portable_bp.network import Network
from portable_bp.storage import ModelFileError
from portable_bp.tables.columns import LARGEST, LARGEST_SCALE, SMALLEST_SCALE, BooleanColumn, CategoryColumn, NumberColumn
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.targets import ClassTarget, NumberTarget
from portable_bp.tables.task import LARGEST_WHOLE

NOTE = "table"
VERSION = 1


def write_recipe(recipe: Recipe) -> str:
    """Return a recipe as JSON, which keeps every number exactly.

    Parameters
    ----------
    recipe : Recipe
        What to write.
    """
    columns = [{"kind": column.kind, **vars(column)} for column in recipe.columns]
    target = {"task": recipe.target.task, **vars(recipe.target)}
    facts = {"version": VERSION, "columns": columns, "target": target}
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
    facts = _read_facts(text)
    columns = facts["columns"]
    if not isinstance(columns, list) or not columns:
        raise ValueError(f"its columns are {_short(columns)}")
    recipe = Recipe(tuple(_read_column(column) for column in columns), _read_target(facts["target"]))
    names = {recipe.target.name, *(column.name for column in recipe.columns)}
    if len(names) != len(columns) + 1:
        raise ValueError("it has a name twice")
    if (recipe.inputs, recipe.target.outputs) != (inputs, outputs):
        raise ValueError(
            f"it has {recipe.inputs} inputs and {recipe.target.outputs} outputs, and the network has {inputs} and {outputs}"
        )
    return recipe


def _read_facts(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(facts, dict) or facts.keys() != {"version", "columns", "target"}:
        raise ValueError(f"it is {_short(facts)}")
    if type(facts["version"]) is not int or facts["version"] != VERSION:
        raise ValueError(f"it has version {_short(facts['version'])}, and this portable_bp reads {VERSION}")
    return facts


def _read_column(facts: Any) -> NumberColumn | BooleanColumn | CategoryColumn:
    kind = facts.get("kind") if isinstance(facts, dict) else None
    if kind == "number" and facts.keys() == {"kind", "name", "mean", "scale"}:
        return NumberColumn(_name(facts["name"]), _number(facts["mean"]), _scale(facts["scale"]))
    if kind == "boolean" and facts.keys() == {"kind", "name", "mean"} and 0.0 <= _number(facts["mean"]) <= 1.0:
        return BooleanColumn(_name(facts["name"]), _number(facts["mean"]))
    if kind == "text" and facts.keys() == {"kind", "name", "categories"}:
        categories = _distinct(facts["categories"], 1)
        if all(
            category is None if place == 0 and category is None else _is_text(category)
            for place, category in enumerate(categories)
        ):
            return CategoryColumn(_name(facts["name"]), categories)
    raise ValueError(f"{_short(facts)} is no column")


def _read_target(facts: Any) -> ClassTarget | NumberTarget:
    task = facts.get("task") if isinstance(facts, dict) else None
    if task == "regression" and facts.keys() == {"task", "name", "mean", "scale"}:
        return NumberTarget(_name(facts["name"]), _number(facts["mean"]), _scale(facts["scale"]))
    if task == "classification" and facts.keys() == {"task", "name", "kind", "classes"}:
        classes = _distinct(facts["classes"], 2)
        is_label = _LABELS.get(facts["kind"]) if isinstance(facts["kind"], str) else None
        if is_label is not None and all(map(is_label, classes)):
            return ClassTarget(_name(facts["name"]), facts["kind"], classes)
    raise ValueError(f"{_short(facts)} is no target")


def _distinct(given: Any, fewest: int) -> tuple[Any, ...]:
    plain = isinstance(given, list) and all(part is None or isinstance(part, str | int | float) for part in given)
    if not plain or len(given) < fewest or len(set(given)) < len(given):
        raise ValueError(f"{_short(given)} are not {fewest} or more different values")
    return tuple(given)


def _name(given: Any) -> str:
    if not _is_text(given):
        raise ValueError(f"{_short(given)} is no name")
    return given


def _number(given: Any) -> float:
    if not _is_number(given):
        raise ValueError(f"{_short(given)} is no number that a table has")
    return float(given)


def _scale(given: Any) -> float:
    if not SMALLEST_SCALE <= _number(given) <= LARGEST_SCALE:
        raise ValueError(f"{_short(given)} is no scale")
    return float(given)


def _is_number(given: Any) -> bool:
    return type(given) in (int, float) and -LARGEST <= given <= LARGEST


def _is_near(given: Any, most: float) -> bool:
    return type(given) is int and -most <= given <= most


def _is_text(given: Any) -> bool:
    """Return whether it is text that can be written: JSON may have halves of characters."""
    return isinstance(given, str) and not any("\ud800" <= character <= "\udfff" for character in given)


_LABELS = {
    "text": _is_text,
    "whole": lambda given: _is_near(given, LARGEST_WHOLE),
    "number": lambda given: type(given) is float and math.isfinite(given),
    "boolean": lambda given: type(given) is bool,
}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it has {name} in the place of a number")


def _short(given: Any) -> str:
    try:
        text = ascii(given)
    except (RecursionError, ValueError):
        text = type(given).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."
