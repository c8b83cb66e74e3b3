"""Print an explanation as plain text, with matrices as rows of numbers in brackets."""

from __future__ import annotations

import textwrap

from portable_bp.inspection.explanation.document import (
    Call,
    Derivative,
    Document,
    Heading,
    Matrix,
    Paragraph,
    Part,
    Parts,
    Spelled,
    Symbol,
    broken,
)

WIDTH = 100
UNDERLINES = {1: "=", 2: "-", 3: "~"}


def print_text(document: Document) -> str:
    """Return an explanation as plain text."""
    blocks = []
    for block in document:
        if isinstance(block, Heading):
            blocks.append(f"{block.text}\n{UNDERLINES[block.level] * len(block.text)}")
        elif isinstance(block, Paragraph):
            blocks.append(textwrap.fill("".join(_box(part)[0] for part in block.parts), WIDTH))
        else:
            blocks.append(textwrap.indent(_print_sides(block.sides), "    "))
    return "\n\n".join(blocks) + "\n"


def print_inline(parts: Parts) -> str:
    """Return parts that take one line."""
    return _joined(parts)[0]


def _print_sides(sides: tuple[Parts, ...]) -> str:
    """Return an equation, in several lines if it is long."""
    lines = broken(sides, lambda side: len(_joined(side)[0]) + len(" = "), WIDTH)
    indent = [" " * (len(_joined(sides[0])[0]) if len(lines[0]) > 1 else 4)]
    boxes = []
    for number, line in enumerate(lines):
        first, others = ([indent], line) if number else ([_joined(line[0])], line[1:])
        boxes.append(_beside([*first, *(box for side in others for box in (["="], _joined(side)))]))
    apart = [""] if max(map(len, boxes)) > 1 else []
    return "\n".join(line.rstrip() for number, box in enumerate(boxes) for line in (apart if number else []) + box)


def _joined(parts: Parts) -> list[str]:
    return _beside([_box(part) for part in parts])


def _beside(boxes: list[list[str]]) -> list[str]:
    """Return boxes of lines beside each other, each centered vertically."""
    height = max(map(len, boxes))
    padded = []
    for box in boxes:
        above = (height - len(box)) // 2
        empty = " " * len(box[0])
        padded.append([empty] * above + box + [empty] * (height - len(box) - above))
    return [" ".join(row) for row in zip(*padded, strict=True)]


def _box(part: Part) -> list[str]:
    """Return a part as lines of equal length."""
    match part:
        case Symbol(name, layer, place, transposed):
            below = f"{layer}{place or ''}"
            return [f"{name}{'_' if below else ''}{below}{'^T' if transposed else ''}"]
        case Derivative(of, by):
            top = "E" if of.name == "E_total" else _box(of)[0]
            return [f"d{top}/d{_box(by)[0]}"]
        case Spelled(text, _):
            return [text]
        case Call(function, argument):
            inside = _joined(argument)
            if len(inside) == 1:
                return [f"{function}({inside[0]})"]
            return _beside([[f"{function}("], inside, [")"]])
        case Matrix(rows):
            cells = [[_joined(cell)[0] for cell in row] for row in rows]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            return [f"[{'  '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))}]" for row in cells]
    return [part]
