"""Explain backpropagation by a trace, as the article does: every formula with its numbers put in."""

from __future__ import annotations

from typing import Any

from portable_bp.algorithm.fields import DECIMALS, POSITIVE, check_number
from portable_bp.common.lookup import find
from portable_bp.inspection.explanation.chapters import explain
from portable_bp.inspection.explanation.latex import print_latex
from portable_bp.inspection.explanation.markdown import print_markdown
from portable_bp.inspection.explanation.page import render_page
from portable_bp.inspection.explanation.text import print_text
from portable_bp.inspection.explanation.worked import work
from portable_bp.inspection.trace import Trace

DEFAULT_DECIMALS = 4
FORMATS = {
    "text": lambda worked, decimals: print_text(explain(worked, decimals)),
    "markdown": lambda worked, decimals: print_markdown(explain(worked, decimals)),
    "latex": lambda worked, decimals: print_latex(explain(worked, decimals)),
    "html": render_page,
}


def explain_trace(trace: Trace, form: str, learning_rate: Any, decimals: Any) -> str:
    """Return the explanation of a trace in a format; by default, it has as many decimals as the trace was rounded to, or 4."""
    rounded_to = trace.subject.pieces.decimals
    shown = check_number(decimals, "decimals", DECIMALS)
    if shown is None:
        shown = DEFAULT_DECIMALS if rounded_to is None else rounded_to
    return find("format", form, FORMATS)(work(trace, check_number(learning_rate, "learning_rate", POSITIVE)), shown)
