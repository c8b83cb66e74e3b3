"""Import an optional package, or say which pip line brings it."""

from __future__ import annotations

import importlib
from types import ModuleType


class NotInstalledError(ImportError):
    """A package of an optional extra is not installed; the message says which pip line brings it."""


def require(module: str, *extras: str) -> ModuleType:
    """Import a module of an optional extra.

    Parameters
    ----------
    module : str
        The module to import.
    *extras : str
        The extras of this package that bring it, any one of them.

    Raises
    ------
    NotInstalledError
        If it is not installed; the message is one sentence with the pip line.
    ImportError
        If a package that it needs is not.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        lines = " or ".join(f"pip install 'portable-bp[{extra}]'" for extra in extras)
        raise NotInstalledError(f"{error.name} is needed here and is not installed: {lines}", name=error.name) from None
