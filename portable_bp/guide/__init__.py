"""The documentation, as Markdown pages shipped with the package."""

from __future__ import annotations

import re
from importlib import resources
from typing import NamedTuple

from portable_bp.common.lookup import find

# In the order in which they are listed and best read.
PAGES = (
    "tutorial",
    "networks",
    "populations",
    "pieces",
    "estimators",
    "tables",
    "files",
    "backends",
    "performance",
    "errors",
    "development",
)


class Page(NamedTuple):
    """A page of the guide, as Markdown."""

    name: str
    text: str

    @property
    def title(self) -> str:
        """The first heading."""
        return self.text.partition("\n")[0].removeprefix("# ")

    @property
    def summary(self) -> str:
        """The first sentence below the title, without its links."""
        paragraph = " ".join(self.text.split("\n\n")[1].split())
        sentence = re.split(r"(?<=[.!?]) ", paragraph, maxsplit=1)[0]
        return re.sub(r"\[(.+?)\]\(.+?\)", r"\1", sentence)


def read_page(name: str) -> Page:
    """Return a page of the guide by name; a ValueError suggests the closest name."""
    find("page of the guide", name, dict.fromkeys(PAGES))
    # Through importlib, since the package may be in a zip file.
    return Page(name, resources.files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8"))
