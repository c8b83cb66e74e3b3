"""Print an explanation as LaTeX; its formulas are those of Markdown too."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence

from portable_bp.inspection.explanation.document import (
    Call,
    Derivative,
    Document,
    Formula,
    Heading,
    Matrix,
    Paragraph,
    Part,
    Parts,
    Spelled,
    Symbol,
    broken,
    is_exponential,
)

OPERATORS = {"*": r"\cdot", ".*": r"\odot", "...": r"\cdots", "|": r"\mid"}
NAMES = {"delta": r"\delta", "E_total": "E_{total}"}
ESCAPED = {character: f"\\{character}" for character in "#$%&_{}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
HEADINGS = {2: "section", 3: "subsection"}
PREAMBLE = r"""\documentclass{article}
\usepackage[a4paper,landscape,margin=2cm]{geometry}
\usepackage{amsmath}
\setcounter{MaxMatrixCols}{20}
\setcounter{secnumdepth}{0}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt}
\allowdisplaybreaks
"""
MAX_WIDTH = 120  # digits that a line has room for


def print_latex(document: Document) -> str:
    """Return an explanation as a LaTeX document."""
    lines = [PREAMBLE]
    for block in document:
        if isinstance(block, Heading) and block.level == 1:
            lines.append(f"\\title{{{escape(block.text)}}}\n\\date{{}}\n\\begin{{document}}\n\\maketitle")
        elif isinstance(block, Heading):
            lines.append(f"\\{HEADINGS[block.level]}{{{escape(block.text)}}}")
        elif isinstance(block, Paragraph):
            parts = (escape(part) if isinstance(part, str) else f"${_print(part)}$" for part in block.parts)
            lines.append("".join(parts))
        else:
            lines.append(f"\\[{print_formula(block)}\\]")
    return "\n\n".join([*lines, "\\end{document}"]) + "\n"


def escape(text: str) -> str:
    """Return text in ASCII in which no character is a command of LaTeX."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "replace").decode()  # pdflatex has few other letters
    return "".join(ESCAPED.get(character, character) for character in plain)


def print_formula(formula: Formula) -> str:
    """Return an equation as LaTeX, in several lines if it is long."""
    (first, *others), *below = broken(formula.sides, _width, MAX_WIDTH)
    if not below:
        return f"{print_parts(first)} {_equals(others)}"
    # The sign before the second side is where lines are aligned; a first side in a line of its own begins there.
    lines = [f"{print_parts(first)} &{_equals(others)}" if others else f"&{print_parts(first)}"]
    indent = "" if others else "\\quad "
    lines += [f"&{indent}{_equals(sides)}" for sides in below]
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def _equals(sides: Sequence[Parts]) -> str:
    return " ".join(f"= {print_parts(side)}" for side in sides)


def print_parts(parts: Parts) -> str:
    """Return parts beside each other."""
    return " ".join(_print(part) for part in parts)


def _width(parts: Parts) -> int:
    """Return roughly how many digits have room in the place of some parts, with a sign before them."""
    width = 2
    for part in parts:
        match part:
            case Matrix(rows):
                width += sum(max(map(_width, column)) for column in zip(*rows, strict=True)) + 2
            case Call(function, argument):
                width += len(function) + _width(argument)
            case Spelled(text, _) | str(text):
                width += len(text) + 1
            case _:
                width += 6
    return width


def _print(part: Part) -> str:
    match part:
        case Symbol(name, layer, place, transposed):
            written = NAMES.get(name, name)  # without \\mathit: GitHub takes an underscore after a brace for emphasis
            below = f"{layer}{place or ''}"
            return written + (f"_{{{below}}}" if below else "") + ("^{T}" if transposed else "")
        case Derivative(of, by):
            return f"\\frac{{\\partial {_print(of)}}}{{\\partial {_print(by)}}}"
        case Spelled(_, latex):
            return latex
        case Call(function, argument):
            return f"\\mathrm{{{escape(function)}}}\\left({print_parts(argument)}\\right)"
        case Matrix(rows):
            body = r" \\ ".join(map(_print_row, rows))
            return f"\\begin{{bmatrix}} {body} \\end{{bmatrix}}"
    if part in OPERATORS:
        return OPERATORS[part]
    if part[-1:].isdigit() and is_exponential(part):
        factor, _, exponent = part.partition("e")
        return f"{factor} \\cdot 10^{{{int(exponent)}}}"
    return {"nan": r"\mathrm{NaN}", "inf": r"\infty", "-inf": r"-\infty"}.get(part, part)


def _print_row(row: tuple[Parts, ...]) -> str:
    is_left_out = all(cell == ("...",) for cell in row)
    cells = itertools.repeat(r"\vdots", len(row)) if is_left_out else map(print_parts, row)
    return " & ".join(cells)
