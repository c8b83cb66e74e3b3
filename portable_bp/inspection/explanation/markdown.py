"""Print an explanation as Markdown, with formulas in LaTeX as GitHub and notebooks show them."""

from __future__ import annotations

import re

from portable_bp.inspection.explanation.document import Document, Heading, Paragraph
from portable_bp.inspection.explanation.latex import print_formula, print_parts


def print_markdown(document: Document) -> str:
    """Return an explanation as Markdown."""
    blocks = []
    for block in document:
        if isinstance(block, Heading):
            blocks.append(f"{'#' * block.level} {_escape(block.text)}")
        elif isinstance(block, Paragraph):
            parts = (_escape(part) if isinstance(part, str) else f"${print_parts((part,))}$" for part in block.parts)
            blocks.append("".join(parts))
        else:
            blocks.append(f"$$\n{print_formula(block)}\n$$")
    return "\n\n".join(blocks) + "\n"


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#$|])", r"\\\1", text)
