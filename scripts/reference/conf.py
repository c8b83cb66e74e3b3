"""Sphinx configuration of the documentation: README.md, the guide, and the reference made from the docstrings.

The source folder is the repository, so that links between its files work in the built pages too.
"""

from typing import Any

from docutils.nodes import Element
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.environment import BuildEnvironment

from portable_bp import __version__

project = "portable_bp"
copyright = "2026, the portable_bp developers"
release = __version__

root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "portable_bp/guide/*.md", "scripts/reference/*.rst"]
exclude_patterns = [".*", "build", "dist"]
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

default_role = "py:name"
nitpicky = True  # a name in single backticks that is not found is a warning
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say the types, with their shapes
numpydoc_show_class_members = False

html_theme = "furo"
html_title = f"portable_bp {release}"
html_show_sourcelink = False

REFERENCE = ("networks", "training", "inspection", "pieces", "estimators", "tables", "backends")
CONTENTS = """
```{{toctree}}
:hidden:
:caption: {caption}

{pages}
```
"""


class Name(PyXRefRole):
    """A name in single backticks, which links to its description in whichever module that is."""

    def process_link(
        self, env: BuildEnvironment, refnode: Element, has_explicit_title: bool, title: str, target: str
    ) -> tuple[str, str]:
        """Search objects of every kind, in all modules."""
        title, target = super().process_link(env, refnode, has_explicit_title, title, target)
        refnode["reftype"], refnode["refspecific"] = "obj", True
        return title, target


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the tables of contents to README.md, which has none of its own."""
    from portable_bp.guide import PAGES

    if page == app.config.root_doc:
        guide = "\n".join(f"portable_bp/guide/{name}" for name in PAGES)
        reference = "\n".join(f"scripts/reference/{name}" for name in REFERENCE)
        source[0] += CONTENTS.format(caption="Guide", pages=guide)
        source[0] += CONTENTS.format(caption="Reference", pages=f"{reference}\nCHANGELOG")


def skip_undescribed(app: Sphinx, kind: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out fields of named tuples, which their class describes, and the request methods that scikit-learn makes."""
    return True if type(member).__name__ == "_tuplegetter" or name.endswith("_request") else None


def setup(app: Sphinx) -> None:
    """Add the role and the two functions above."""
    app.add_role_to_domain("py", "name", Name())
    app.connect("source-read", add_contents)
    app.connect("autodoc-skip-member", skip_undescribed)
