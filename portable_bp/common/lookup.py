"""Look up names and optional packages, with errors that say what to do."""

from __future__ import annotations

import difflib
import importlib
import itertools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

# What other libraries call a device or a piece, and its names here.
ELSEWHERE = {
    **dict.fromkeys(("gpu", "cuda"), ("cupy", "torch:cuda", "jax:gpu")),
    **{"cpu": ("numpy",), "mps": ("torch:mps",), "tpu": ("jax:tpu",)},
    **{"mse": ("squared_error",), "l2": ("squared_error",), "mae": ("absolute_error",), "l1": ("absolute_error",)},
    **dict.fromkeys(("bce", "logloss", "log_loss"), ("binary_cross_entropy", "cross_entropy")),
    **dict.fromkeys(("ce", "nll", "categorical_crossentropy"), ("cross_entropy",)),
    **{"linear": ("identity",), "swish": ("silu",), "sgd_momentum": ("momentum",)},
    **dict.fromkeys(("he", "kaiming"), ("he_normal", "he_uniform")),
    **dict.fromkeys(("glorot", "xavier"), ("glorot_normal", "glorot_uniform")),
    "lecun": ("lecun_normal", "lecun_uniform"),
}
MAX_NAMES = 20  # listed in a message; a wide table has many more columns


class NotInstalledError(ImportError):
    """A package of an optional extra is not installed; the message gives the pip command that installs it."""


def find(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """Return ``known[name]``, or raise a ValueError that suggests the closest known name."""
    if name in known:
        return known[name]
    closest = ELSEWHERE.get(str(name).lower()) or difflib.get_close_matches(name, known, n=1)
    meant = [repr(each) for each in closest if each.partition(":")[0] in known]
    hint = f"did you mean {' or '.join(meant)}?" if meant else "use one of the known names."
    more = f" and {len(known) - MAX_NAMES:,} more" if len(known) > MAX_NAMES else ""
    raise ValueError(
        f"unknown {kind} {name!r}: the known ones are {', '.join(itertools.islice(known, MAX_NAMES))}{more}; {hint}"
    )


def require(module: str, *extras: str) -> ModuleType:
    """Import an optional module, or raise a NotInstalledError that names the extras that install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # If a dependency of the module is missing instead, its own error says so.
        if error.name != module.partition(".")[0]:
            raise
        commands = " or ".join(f"pip install 'portable-bp[{extra}]'" for extra in extras)
        raise NotInstalledError(f"{error.name} is needed here and is not installed: {commands}", name=error.name) from None
