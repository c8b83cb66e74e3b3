"""The pages of the documentation and their blocks of code, run and compared with the output that they show."""

import ast
import contextlib
import io
import re
import shlex
import sys
import tokenize
import types
from typing import NamedTuple

import numpy as np

from portable_bp.cli import main
from tests.support.optional_libraries import ABSENT, PACKAGE, ROOT

GUIDE = PACKAGE / "guide"
PAGES = [ROOT / "README.md", *sorted(GUIDE.glob("*.md"))]

# How the text of a block shows that it needs an optional library.
NEEDS = {
    "jax": r"\bjax\b",
    "jinja2": r"to_html|explain --open",
    "matplotlib": r"portable-bp train|train_table|matplotlib|bp\.draw|\.plot\(|ax\.figure",
    "onnx": r"onnx|portable-bp export",
    "onnxruntime": "onnxruntime",
    "pandas": "pandas",
    "polars": r"portable-bp (train|predict)|(train|predict)_table|polars",
    "safetensors": r"\.save\(|\bload\(|checkpoint|portable-bp (train|predict|export)|_table|safetensors",
    "scipy": r"sklearn|estimators|scipy",
    "sklearn": r"sklearn|estimators",
    "torch": "torch",
    "tqdm": r"progress=|portable-bp train|train_table",
}

FLOAT = r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE][-+]?\d))(?:[eE][-+]?\d+)?"
WRITTEN = re.compile(rf"(?<![\w.])({FLOAT})(?!\w|\.\d)|(\.\.\.)")
SHOWN = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf))"


class Block(NamedTuple):
    """A fenced block of code, with the line that its first line has in the file."""

    language: str
    line: int
    source: str


class Report(NamedTuple):
    """What is wrong with a page, and which of its blocks need a library that is not installed."""

    problems: list[str]
    left_out: list[str]


def read_blocks(text):
    """Return the fenced blocks of a page."""
    blocks, opened = [], None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("```"):
            continue
        if opened is None:
            opened = number, line[3:].strip()
        else:
            first, language = opened
            source = "\n".join(text.splitlines()[first : number - 1]) + "\n"
            blocks.append(Block(language, first + 1, source))
            opened = None
    assert opened is None, f"the fence in line {opened} is not closed"
    return blocks


@np.printoptions()  # a page may change them
def run_page(name, text, commands=False):
    """Run a page's Python blocks, and its command lines if asked to, in order and in the current folder."""
    report = Report([], [])
    module = types.ModuleType("page_of_the_guide")
    unbound = set()  # names that blocks would have bound, had their libraries been installed
    sys.modules[module.__name__] = module
    try:
        for block in read_blocks(text):
            try:
                if block.language == "python":
                    run_python(name, block, module.__dict__, report.problems)
                elif block.language == "console" and commands:
                    run_console(name, block, report.problems)
            except ImportError as error:
                library = str(error.name).partition(".")[0]
                if library not in ABSENT or not re.search(NEEDS.get(library, library), block.source):
                    raise
                report.left_out.append(f"{name}:{block.line} needs {library}")
                unbound |= names_bound(block)
            except NameError as error:
                if error.name not in unbound:
                    raise
                report.left_out.append(f"{name}:{block.line} needs {error.name}")
                unbound |= names_bound(block)
    finally:
        del sys.modules[module.__name__]
    return report


def run_python(name, block, namespace, problems):
    """Run the statements of a block one by one, and compare what each prints with the comment that says so."""
    tree, comments = ast.parse(block.source), read_comments(block.source)
    for statement in tree.body:
        expected = expected_output(statement, comments)
        ast.increment_lineno(statement, block.line - 1)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(ast.Module([statement], []), name, "exec"), namespace)
        if not (out.getvalue() or prints(statement)):
            continue
        where = f"{name}:{statement.lineno}"
        if expected is None:
            problems.append(f"{where} does not show what it prints:\n{out.getvalue()}")
        elif not matches(expected, out.getvalue()):
            problems.append(f"{where} prints:\n{out.getvalue()}and shows:\n{expected}\n")


def run_console(name, block, problems):
    """Run the lines that begin with ``$ portable-bp``, and compare what each prints with the lines after it."""
    for entry in re.split(r"^(?=\$ )", block.source, flags=re.MULTILINE):
        line, _, expected = entry.replace("\\\n", " ").partition("\n")
        if not line.startswith("$ portable-bp "):
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            main(shlex.split(line)[2:])
        lines = [line for line in err.getvalue().splitlines(keepends=True) if line.startswith("portable-bp: ")]
        shown = out.getvalue() + "".join(lines)
        refuse_missing(shown)
        if not matches(expected, shown):
            problems.append(f"{name}:{block.line}, {line}\nprints:\n{shown}and shows:\n{expected}")


def refuse_missing(shown):
    """Raise the ImportError that the command made a line of."""
    if found := re.search(r"^portable-bp: (\w+) is needed here and is not installed", shown, re.MULTILINE):
        raise ImportError(found[0], name=found[1])


def read_comments(source):
    """Return the comments of a source, without their ``# ``, by line and with the column where they begin."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = (token for token in tokens if token.type == tokenize.COMMENT)
    return {comment.start[0]: (comment.start[1], comment.string[1:].removeprefix(" ")) for comment in comments}


def expected_output(statement, comments):
    """Return the comment at a statement's end, or else the lines of comment right after it, or None."""
    last = statement.end_lineno
    column, text = comments.get(last, (-1, None))
    if column >= statement.end_col_offset:
        return text
    lines = []
    while comments.get(last := last + 1, (-1, ""))[0] == 0:
        lines.append(comments[last][1])
    return "\n".join(lines) if lines else None


def prints(node):
    """Return whether a statement calls print by itself, and not only in a function that it defines."""
    if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
        return False
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    return called or any(map(prints, ast.iter_child_nodes(node)))


def names_bound(block):
    """Return the names that a block gives something to."""
    nodes = list(ast.walk(ast.parse(block.source))) if block.language == "python" else []
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    aliases = [alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    return names | {(alias.asname or alias.name).partition(".")[0] for alias in aliases}


def matches(expected, shown):
    """Return whether an output is the expected one: text literally, fractions to the digits that are written."""
    expected, shown = tidy(expected), tidy(shown)
    pattern, numbers, end = "", [], 0
    for found in WRITTEN.finditer(expected):
        pattern += re.escape(expected[end : found.start()]) + (".*?" if found[2] else SHOWN)
        numbers += [found[1]] if found[1] else []
        end = found.end()
    matched = re.fullmatch(pattern + re.escape(expected[end:]), shown, re.DOTALL)
    return matched is not None and all(map(is_close, numbers, matched.groups()))


def is_close(written, shown):
    """Return whether a number is the written one, within one of its last digit; whole numbers are exact."""
    mantissa, _, exponent = written.lower().partition("e")
    fraction = mantissa.partition(".")[2]
    if not exponent and fraction in ("", "0"):
        return float(shown) == float(written)
    last_digit = 10.0 ** (int(exponent or 0) - len(fraction))
    return abs(float(shown) - float(written)) <= last_digit * (1.0 + 1e-6)


def tidy(text):
    """Return a text without the spaces that NumPy and line ends put into it."""
    return re.sub(r"([\[(]) | (?=[\])])", r"\1", " ".join(text.split()))
