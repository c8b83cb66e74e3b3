"""The ``portable-bp`` command: networks of tables, what is here, and the article's example."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.backends import BackendUnavailableError, available_backends
from portable_bp.inspection import article, article_table, named_numbers
from portable_bp.network import Network, load
from portable_bp.tables import (
    TABLE_EXTENSIONS,
    TASKS,
    TrainingOptions,
    check_output,
    find_recipe,
    predict_table,
    train_table,
    write_table,
)
from portable_bp.training import DivergenceError
from portable_bp.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without them, those of the process.

    Returns
    -------
    int
        The exit code: 0 where all went well, 1 where the example disagrees with the article, 2 for a wrong call or a table or
        file that does not fit, 130 where the user interrupted it.
    """
    chosen = _parser().parse_args(arguments)
    try:
        with _warnings_as_lines(quiet=not getattr(chosen, "progress", True)):
            return chosen.run(chosen)
    except (ValueError, ImportError, BackendUnavailableError, DivergenceError, MemoryError) as error:
        return _fail(str(error) or "there is not enough memory for it.", 2)
    except BrokenPipeError:
        # Who reads has read enough; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        said = f"{error.filename} cannot be used ({error.strerror}): check its name." if error.filename else error.strerror
        return _fail(said or str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written.", 130)


def _fail(said: str, code: int) -> int:
    _say(said)
    return code


def _say(line: str) -> None:
    print(f"portable-bp: {line}", file=sys.stderr)


@contextlib.contextmanager
def _warnings_as_lines(quiet: bool) -> Iterator[None]:
    """Print each warning once, as a line without Python's file names; print none where the user wants quiet."""
    said = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        line = " ".join(str(message).split())
        if not quiet and line not in said:
            said.add(line)
            _say(line)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="portable-bp", description="Backpropagation on the array library that you have.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    _add_predict(commands)
    export = commands.add_parser(
        "export",
        help="write a model as an ONNX file",
        description="Write a model as an ONNX file, and print what its inputs and outputs are: it has the network alone.",
    )
    export.add_argument("model", metavar="MODEL", help="a model file")
    export.add_argument("output", metavar="ONNX", help="where it goes: a name that ends in .onnx")
    export.set_defaults(run=_export)
    info = commands.add_parser("info", help="the backends found here, and why the others are not usable")
    info.set_defaults(run=_info)
    example = commands.add_parser("example", help="the article's worked example, beside what the article prints")
    example.add_argument(
        "--decimals", type=_decimals, help="round every result to so many decimals and carry it on; the article does with 4"
    )
    example.add_argument("--backend", help="one backend, such as torch:cuda:0; without it, every usable one")
    example.set_defaults(run=_example)
    return parser


def _add_train(commands: Any) -> None:
    """Add the command that trains; what is not given has no attribute, so that `TrainingOptions` has the only defaults."""
    train = commands.add_parser(
        "train",
        argument_default=argparse.SUPPRESS,
        help="train a network on a table",
        description="Train a network to predict one column of a table from the others. Numbers are standardized, text becomes "
        "categories; empty cells are missing values, and so are NA, ?, - and the like among numbers. What is assumed is "
        "printed. Ctrl-C ends the training and keeps the model.",
        epilog="Example: portable-bp train iris.csv --target species -o iris.safetensors",
    )
    add = train.add_argument
    add("table", metavar="TABLE", help="a .csv, .tsv or .parquet file; the first line of a CSV names its columns")
    add("--target", required=True, metavar="COLUMN", help="the column to predict")
    add("-o", "--output", dest="model", required=True, metavar="MODEL", help="where the model goes: a .safetensors file")
    add("--hidden", type=_sizes, metavar="SIZES", help="neurons of the hidden layers (default: 64,32)")
    add("--task", choices=TASKS, help="without it, guessed from the target")
    add("--ignore", action="append", dest="ignored", metavar="COLUMNS", help="columns to leave out, with commas between them")
    add("--numbers", action="append", metavar="COLUMNS", help="columns of numbers, even where these look like codes (007, 1E3)")
    add("--text", action="append", metavar="COLUMNS", help="columns of text, even where it looks like numbers")
    add("--missing", action="append", metavar="TEXT", help="what stands for a missing value, in every column (can be repeated)")
    add("--decimal", choices=".,", metavar="MARK", help="decimal mark of the numbers, . or , (without it, judged by them)")
    add("--held-out", type=_share, metavar="SHARE", help="share of rows that only the final score looks at (default: 0.2)")
    add("--seed", type=_whole, metavar="NUMBER", help="of all that is drawn at random (default: 0)")
    add(
        "--epochs",
        type=_count,
        metavar="NUMBER",
        help="the most; it ends before, once validation gets no better (default: 500)",
    )
    add("--batch-size", type=_count, metavar="NUMBER", help="rows a step (default: a hundredth of them, from 32 to 256)")
    add("--learning-rate", type=_rate, metavar="RATE", help="size of a step of Adam (default: 0.001)")
    add("--activation", choices=list(ACTIVATIONS), metavar="NAME", help="of the hidden layers (default: relu)")
    add("--backend", help="where it is trained: numpy, cupy, torch, jax, torch:cuda:0, ... (default: auto)")
    add("--picture", metavar="FILE", help="picture of the losses: .png, .svg or .pdf (default: a .png beside the model)")
    add("--quiet", action="store_false", dest="progress", help="show nothing but the score")
    train.set_defaults(run=_train)


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser(
        "predict",
        help="predict the rows of a table with a trained model",
        description="Predict a column for every row of a table, in their order: with the columns that the model was trained "
        "with, in any order; those that training left out may be there or not. For classes there is a column with the "
        "probability of each.",
        epilog="Example: portable-bp predict iris.safetensors new.csv -o predicted.csv",
    )
    add = predict.add_argument
    add("model", metavar="MODEL", help="a file that 'portable-bp train' wrote")
    add("table", metavar="TABLE", help="a .csv, .tsv or .parquet file; its target, where it has one, is not looked at")
    add("-o", "--output", metavar="FILE", help="a .csv, .tsv or .parquet file; without it, CSV is printed")
    add("--ignore", action="append", default=[], metavar="COLUMNS", help="columns to leave out, with commas between them")
    add("--backend", default="auto", help="where it is computed: numpy, cupy, torch, jax, torch:cuda:0, ... (default: auto)")
    predict.set_defaults(run=_predict)


def _checked(convert: Callable[[str], Any], fits: Callable[[Any], bool], wanted: str) -> Callable[[str], Any]:
    def check(given: str) -> Any:
        try:
            value = convert(given)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"{given!r} is not {wanted}")
        return value

    return check


_whole = _checked(int, lambda number: number >= 0, "a whole number from 0 up")
_count = _checked(int, lambda number: number >= 1, "a whole number from 1 up")
_rate = _checked(float, lambda number: 0.0 < number < math.inf, "a number above 0")
_share = _checked(float, lambda number: 0.0 < number < 1.0, "between 0 and 1")
_sizes = _checked(
    lambda given: [int(size) for size in given.split(",")],
    lambda sizes: min(sizes) >= 1,
    "whole numbers from 1 up with commas between them, such as 64,32",
)


def _decimals(given: str) -> int:
    decimals = int(given)
    if not 0 <= decimals <= 15:
        raise argparse.ArgumentTypeError(f"{decimals} is not between 0 and 15")
    return decimals


def _train(chosen: argparse.Namespace) -> int:
    given = {name: value for name, value in vars(chosen).items() if name != "run"}
    options = TrainingOptions(**{"picture": f"{os.path.splitext(chosen.model)[0]}.png", **given})
    result = train_table(options, print if options.progress else lambda line: None)
    print(result.score, end="\n" if result.score else "")
    return 130 if result.interrupted else 0


def _predict(chosen: argparse.Namespace) -> int:
    if chosen.output:
        check_output(chosen.output, TABLE_EXTENSIONS, [chosen.model, chosen.table])
    predictions = predict_table(chosen.model, chosen.table, _say, chosen.backend, chosen.ignore)
    if chosen.output:
        write_table(predictions, chosen.output)
    else:
        print(predictions.write_csv(), end="", flush=True)
    return 0


def _export(chosen: argparse.Namespace) -> int:
    check_output(chosen.output, [".onnx"], [chosen.model])
    network: Any = load(chosen.model, "numpy")
    recipe = find_recipe(chosen.model, network)
    network.to_onnx(chosen.output)
    print(f"Written: {chosen.output}.")
    for line in recipe.describe() if recipe else ():
        print(line)
    return 0


def _info(chosen: argparse.Namespace) -> int:
    print(f"portable_bp {__version__}")
    for backend in available_backends():
        version = backend.version or "-"
        state = f"usable on {', '.join(backend.devices)}" if backend.usable else f"not usable: {backend.reason}"
        print(f"{backend.name:<8}{version:<16}{state}")
    return 0


def _example(chosen: argparse.Namespace) -> int:
    backends = [chosen.backend] if chosen.backend else [row.name for row in available_backends() if row.usable]
    columns = {}
    for backend in backends:
        network = Network.from_weights(article.WEIGHTS, backend=backend, dtype="float64")
        trace = network.trace(article.INPUTS, article.TARGET, decimals=chosen.decimals)
        columns[backend] = dict(named_numbers(trace, network.backend.to_numpy))
    table, agrees = article_table(columns, chosen.decimals)
    carried = "nothing rounded" if chosen.decimals is None else f"every result rounded to {chosen.decimals} and carried on"
    print(f"The article's network 2-4-3-2, inputs {article.INPUTS}, target {article.TARGET}; {carried}.\n\n{table}\n")
    if chosen.decimals in (None, 4):
        met = "to its last digit" if chosen.decimals else "within one of its last digit, since it carries rounded values"
        print(f"Every number that the article prints is met {met}, but for its slip." if agrees else "Not all of it is met.")
    return 0 if agrees else 1
