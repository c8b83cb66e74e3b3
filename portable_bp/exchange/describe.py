"""Describe the activations, loss and sizes of a network in JSON, and make them from a description, which is never executed."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.arrays import Layer, sizes_of
from portable_bp.algorithm.losses import LOSSES
from portable_bp.algorithm.optimizers import OPTIMIZERS
from portable_bp.common.generators import COLUMNS, GENERATORS

# In bytes; the whole header of a model file may have 4 MiB.
MAX_NOTES = 3 * 2**20
# Before this version of the file format, "gelu" meant what is now "gelu_tanh".
EXACT_GELU = 3
# Since this version, a file may hold a population.
POPULATIONS = 4
# Of two names for the same piece, the first is written.
_NAMES = {make: name for known in (ACTIVATIONS, LOSSES, OPTIMIZERS) for name, make in reversed(known.items())}


def describe(piece: Any, fingerprint: Callable[[Any], str] | None = None) -> Any:
    """Return the name and settings of a piece, or the value of a setting, as JSON values.

    A user's own piece is described by the name of its class or functions, and by its fingerprint if ``fingerprint`` is given.
    """
    if piece is None or isinstance(piece, bool | int | float | str):
        return piece
    if isinstance(piece, tuple | list):
        parts = [describe(part, fingerprint) for part in piece]
        return {"name": _qualified(type(piece)), "parts": parts} if hasattr(piece, "_fields") else parts
    name = _NAMES.get(type(piece)) or _qualified(piece if hasattr(piece, "__qualname__") else type(piece))
    settings = {}
    if dataclasses.is_dataclass(piece):
        fields = [field.name for field in dataclasses.fields(piece) if field.init]
        settings = {field: describe(getattr(piece, field), fingerprint) for field in fields}
    if fingerprint is not None and not name.startswith("portable_bp.") and is_own({"name": name}):
        settings["fingerprint"] = fingerprint(piece)
    return {"name": name, **settings}


def is_own(description: Any) -> bool:
    """Return whether a description is of a custom piece, which cannot be made from it."""
    return isinstance(description, dict) and isinstance(description.get("name"), str) and "." in description["name"]


def remake(description: Any, kind: str, known: Mapping[str, Any]) -> Any:
    """Return the piece of an untrusted description, or only the name of a custom piece."""
    if is_own(description):
        return _own_name(description)
    name = description.get("name") if isinstance(description, dict) else None
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{_short(description)} is not a known {kind}")
    settings = {key: value for key, value in description.items() if key != "name"}
    make = known[name]
    unknown = set(settings) - {field.name for field in dataclasses.fields(make)}
    if unknown or not all(type(value) in (int, float) for value in settings.values()):
        raise ValueError(f"{_short(description)} has settings that {make.__name__} does not have")
    return make(**settings)


def _own_name(description: Mapping[str, Any]) -> str:
    """Return the name of a custom piece; a pair of functions has the names of both."""
    parts = description.get("parts")
    if isinstance(parts, list) and parts and all(map(is_own, parts)):
        return "/".join(part["name"] for part in parts)
    return description["name"]


def remake_activations(descriptions: Sequence[Any]) -> list[Any]:
    """Return the activations of descriptions, with names in place of custom ones."""
    return [remake(description, "activation", ACTIVATIONS) for description in descriptions]


def describe_read_activations(facts: Mapping[str, Any]) -> list[Any]:
    """Return the descriptions of activations in a model file; in older ones, "gelu" is the tanh form."""
    if facts["format_version"] >= EXACT_GELU:
        return facts["activations"]
    return [{**each, "name": "gelu_tanh"} if each == {"name": "gelu"} else each for each in facts["activations"]]


def version_of(facts: Mapping[str, Any], notes: Mapping[str, Any]) -> int:
    """Return the oldest file format that can express the facts and the notes that are arrays."""
    if "population" in facts:
        return POPULATIONS
    return EXACT_GELU if {"name": "gelu"} in facts["activations"] else 2 if notes else 1


def remake_loss(description: Any) -> Any:
    """Return the loss of a description, or None if there is none or it is a custom one."""
    return None if description is None or is_own(description) else remake(description, "loss", LOSSES)


def describe_named(activations: Sequence[Any], reader: str) -> list[dict[str, Any]]:
    """Return descriptions of activations, or raise a ValueError if one is the user's own, which the reader does not have."""
    descriptions = [describe(activation) for activation in activations]
    for number, description in enumerate(descriptions, start=1):
        if is_own(description):
            known = ", ".join(sorted(set(_NAMES.values()) & ACTIVATIONS.keys()))
            raise ValueError(
                f"the activation of layer {number} is your own ({description['name']}), which {reader} does not have: "
                f"use a named one ({known})."
            )
    return descriptions


def describe_network(layers: Sequence[Layer], dtype: str, activations: Sequence[Any], loss: Any) -> dict[str, Any]:
    """Return a description of a network or a population, of whose layers only the shapes matter."""
    *population, _, _ = layers[0].weight.shape
    description = {
        "sizes": list(sizes_of(layers)),
        "bias": layers[0].bias is not None,
        "activations": [describe(activation) for activation in activations],
        "loss": describe(loss),
        "dtype": dtype,
    }
    return description | {"population": population[0]} if population else description


def check_notes(notes: Any) -> dict[str, str]:
    """Return notes, or raise a TypeError if they are not a dict of str to str."""
    if not _are_notes(notes):
        raise TypeError(f"notes is {_short(notes)}, and should be a dict of text to text.")
    return notes


def pack_notes(notes: Any) -> tuple[dict[str, str | int], dict[str, np.ndarray]]:
    """Return notes for the header of a model file, and the arrays that go with them.

    The header is read as a whole and must stay small: long notes are arrays of bytes, and the header holds their sizes.
    """
    texts = check_notes(notes)
    # The header is JSON in JSON.
    if len(json.dumps(json.dumps(texts))) <= MAX_NOTES:
        return dict(texts), {}
    written = [np.frombuffer(text.encode(errors="surrogatepass"), np.uint8) for text in texts.values()]
    arrays = {_name_note(number): array for number, array in enumerate(written)}
    return {name: array.size for name, array in zip(texts, written, strict=True)}, arrays


def unpack_notes(notes: Mapping[str, str | int], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return the notes that ``pack_notes`` packed, or raise a ValueError if an array holds no text."""
    return {
        name: note if isinstance(note, str) else arrays[_name_note(number)].tobytes().decode(errors="surrogatepass")
        for number, (name, note) in enumerate(notes.items())
    }


def _name_note(number: int) -> str:
    return f"notes.{number}"


def name_arrays(layers: Sequence[Layer]) -> dict[str, np.ndarray]:
    """Return parameters by the names that they have in PyTorch's ``Sequential(Linear, activation, Linear, ...)``."""
    named = {f"{2 * number}.weight": layer.weight for number, layer in enumerate(layers)}
    return named | {f"{2 * number}.bias": layer.bias for number, layer in enumerate(layers) if layer.bias is not None}


def parameters_of(arrays: Mapping[str, np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Return the weights, and the biases or None, of arrays that ``name_arrays`` named."""
    layers = range(sum(name.endswith(".weight") for name in arrays))
    biases = [arrays[f"{2 * number}.bias"] for number in layers] if "0.bias" in arrays else None
    return [arrays[f"{2 * number}.weight"] for number in layers], biases


def check_network(facts: Mapping[str, Any], forms: Mapping[str, tuple[tuple[int, ...], str]]) -> None:
    """Raise a ValueError unless untrusted facts describe a network, and the arrays have the shapes and dtypes that they say."""
    sizes, bias, dtype, activations, notes = (facts.get(key) for key in ("sizes", "bias", "dtype", "activations", "notes"))
    if not isinstance(sizes, list) or len(sizes) < 2 or not all(type(size) is int and size >= 1 for size in sizes):
        raise ValueError(f"its sizes are {_short(sizes)}")
    if type(bias) is not bool or dtype not in ("float32", "float64"):
        raise ValueError(f"its bias is {_short(bias)} and its dtype {_short(dtype)}")
    if not isinstance(activations, list) or len(activations) != len(sizes) - 1:
        raise ValueError(f"its activations are {_short(activations)}, for {len(sizes) - 1} layers")
    members = _members(facts)
    shapes = {f"{2 * number}.weight": (above, below) for number, (below, above) in enumerate(itertools.pairwise(sizes))}
    shapes |= {f"{2 * number}.bias": (above,) for number, above in enumerate(sizes[1:])} if bias else {}
    expected_forms = {name: ((*members, *shape), dtype) for name, shape in shapes.items()} | _note_forms(notes)
    expected_forms |= {GENERATORS: ((*members, COLUMNS), "uint64")} if members else {}
    for name in expected_forms.keys() | forms.keys():
        found, expected = forms.get(name, "nothing"), expected_forms.get(name, "nothing")
        if found != expected:
            raise ValueError(f"it holds {found} as {name[:40]}, and its header says {expected}")
    if not members:
        _check_generator(facts.get("generator"))
    remake_activations(activations)
    remake_loss(facts.get("loss"))


def _members(facts: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the leading axis of a population's arrays, or () for a single network."""
    if "population" not in facts:
        return ()
    population = facts["population"]
    if type(population) is not int or population < 1:
        raise ValueError(f"its population is {_short(population)}")
    return (population,)


def _check_generator(state: Any) -> None:
    try:
        np.random.default_rng().bit_generator.state = state
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"its state of random numbers is not one that NumPy accepts ({error})") from None


def _note_forms(notes: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the forms of the arrays that hold notes, or raise a ValueError if they are not notes."""
    if not isinstance(notes, dict) or not all(isinstance(note, str) or type(note) is int for note in notes.values()):
        raise ValueError(f"its notes are {_short(notes)}")
    sizes = enumerate(notes.values())
    return {_name_note(number): ((size,), "uint8") for number, size in sizes if not isinstance(size, str)}


def _are_notes(given: Any) -> bool:
    return isinstance(given, dict) and all(isinstance(text, str) for note in given.items() for text in note)


def _qualified(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 80 else f"{text[:77]}..."
