"""Import an optional package, or say which pip line brings it."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import a module of an optional extra.

    Parameters
    ----------
    module : str
        The module to import.
    extra : str
        The extra of this package that brings it.

    Raises
    ------
    ImportError
        If it is not installed; the message is one sentence with the pip line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise ImportError(
            f"{error.name} is needed here and is not installed: pip install 'portable-bp[{extra}]'", name=error.name
        ) from None
