"""The ``portable-bp`` command: models of tables, the backends found here, the article's example, and the guide."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import pydoc
import sys
import tempfile
import warnings
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.choices import resolve_loss
from portable_bp.algorithm.losses import LOSSES
from portable_bp.backends import BackendUnavailableError, available_backends, compilation_state
from portable_bp.common.words import counted
from portable_bp.guide import PAGES, read_page
from portable_bp.inspection import article
from portable_bp.inspection.example import article_table, named_numbers
from portable_bp.inspection.names import piece_name
from portable_bp.network import Network, check_gradient, load
from portable_bp.storage import replace_file
from portable_bp.tables import (
    TABLE_EXTENSIONS,
    TASKS,
    TrainingOptions,
    check_output,
    load_model,
    predict_table,
    train_table,
    write_table,
)
from portable_bp.training import DivergenceError
from portable_bp.version import __version__

# The formats of an explanation, with the extensions of their files; a trace has a method for each.
EXTENSIONS = {"text": ".txt", "markdown": ".md", "latex": ".tex", "html": ".html"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line after the program's name. Default: ``sys.argv[1:]``.

    Returns
    -------
    int
        The exit code: 0 for success, 1 if the example disagrees with the article or a gradient with finite differences, 2 for
        wrong arguments or a file that cannot be used, 130 if the user interrupted it.
    """
    options = _parser().parse_args(_joined_lists(sys.argv[1:] if arguments is None else arguments))
    try:
        with _warnings_as_lines(quiet=not getattr(options, "progress", True)):
            return options.run(options)
    except (ValueError, ImportError, BackendUnavailableError, DivergenceError, MemoryError) as error:
        return _fail(str(error) or "not enough memory: use a smaller table, or free some memory and try again.", 2)
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does. Without this, Python would report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        reason = f"{error.filename} cannot be used ({error.strerror}): check its name." if error.filename else error.strerror
        return _fail(reason or str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written.", 130)


def _joined_lists(arguments: Sequence[str]) -> list[str]:
    """Join --input or --target and a list that begins with a minus sign, which argparse would take for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--input", "--target") and argument[:1] == "-" and argument[1:2] in "0123456789.":
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _fail(message: str, code: int) -> int:
    _print_message(message)
    return code


def _print_message(message: str) -> None:
    print(f"portable-bp: {message}", file=sys.stderr)


@contextlib.contextmanager
def _warnings_as_lines(quiet: bool) -> Iterator[None]:
    """Print each warning once, as one line without source positions; print none if quiet."""
    printed = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        line = " ".join(str(message).split())
        if not quiet and line not in printed:
            printed.add(line)
            _print_message(line)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="portable-bp", description="Train and apply dense neural networks on NumPy, CuPy, PyTorch or JAX."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    _add_predict(commands)
    _add_export(commands)
    _add_info(commands)
    _add_example(commands)
    _add_check_gradient(commands)
    _add_explain(commands)
    _add_guide(commands)
    return parser


def _add_train(commands: Any) -> None:
    # An option that is not given sets no attribute, so the defaults are written in `TrainingOptions` alone.
    train = commands.add_parser(
        "train",
        argument_default=argparse.SUPPRESS,
        help="train networks on a table",
        description="Train networks whose mean predicts one column of a table from the others. Numbers are standardized; text "
        "becomes categories. Empty cells are missing values; so are NA, ?, - and similar marks in columns of numbers. Every "
        "assumption is printed. Ctrl-C ends the training and keeps the model.",
        epilog="Example: portable-bp train iris.csv --target species -o iris.safetensors",
    )
    add = train.add_argument
    add("table", metavar="TABLE", help="a .csv, .tsv or .parquet file; the first line of a CSV file names its columns")
    add("--target", required=True, metavar="COLUMN", help="the column to predict")
    add("-o", "--output", dest="model", required=True, metavar="MODEL", help="the model file to write, a .safetensors file")
    add("--members", type=_members, metavar="NUMBER", help="how many networks to train; their mean predicts (default: 8)")
    add("--hidden", type=_sizes, metavar="SIZES", help="number of neurons in each hidden layer (default: 64,32)")
    add("--task", choices=TASKS, help="default: inferred from the target")
    add("--ignore", action="append", dest="ignored", metavar="COLUMNS", help="columns to leave out, separated by commas")
    add(
        "--numbers",
        action="append",
        metavar="COLUMNS",
        help="columns to read as numbers even if they look like codes (007, 1E3), separated by commas",
    )
    add(
        "--text",
        action="append",
        metavar="COLUMNS",
        help="columns to read as text even if they look like numbers, separated by commas",
    )
    add("--missing", action="append", metavar="TEXT", help="text that marks a missing value in every column (repeatable)")
    add("--decimal", choices=".,", metavar="MARK", help="decimal mark, . or , (default: inferred from the numbers)")
    add("--held-out", type=_share, metavar="SHARE", help="share of the rows kept for the final score (default: 0.2)")
    add("--seed", type=_whole, metavar="NUMBER", help="seed of all random numbers (default: 0)")
    add(
        "--epochs",
        type=_count,
        metavar="NUMBER",
        help="maximum number of epochs; training stops earlier if validation does not improve (default: 500)",
    )
    add("--batch-size", type=_count, metavar="NUMBER", help="rows per step (default: 1%% of the rows, from 32 to 256)")
    add("--learning-rate", type=_rate, metavar="RATE", help="learning rate of Adam (default: 0.001)")
    add("--activation", choices=list(ACTIVATIONS), metavar="NAME", help="activation of the hidden layers (default: relu)")
    add("--backend", help="backend to train on: numpy, cupy, torch, jax, torch:cuda:0, ... (default: auto)")
    add(
        "--picture",
        metavar="FILE",
        help="where to draw the losses: a .png, .svg or .pdf file (default: the model's name with .png)",
    )
    add("--quiet", action="store_false", dest="progress", help="print nothing but the score")
    train.set_defaults(run=_train)


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser(
        "predict",
        help="predict the rows of a table with a trained model",
        description="Predict the target for every row of a table, in order. The table needs the columns that the model was "
        "trained on, in any order; columns that training left out may be present or absent. A classification model also gives "
        "the probability of each class, one column per class; a regression model can also give intervals.",
        epilog="Example: portable-bp predict iris.safetensors new.csv -o predicted.csv",
    )
    add = predict.add_argument
    add("model", metavar="MODEL", help="a file that 'portable-bp train' wrote")
    add("table", metavar="TABLE", help="a .csv, .tsv or .parquet file; its target column, if it has one, is not used")
    add("-o", "--output", metavar="FILE", help="a .csv, .tsv or .parquet file to write (default: print CSV)")
    add("--ignore", action="append", default=[], metavar="COLUMNS", help="columns to leave out, separated by commas")
    add(
        "--interval",
        type=_share,
        metavar="SHARE",
        help="for numbers, also write limits that hold this share of new values, such as 0.9",
    )
    add("--backend", default="auto", help="backend to predict on: numpy, cupy, torch, jax, torch:cuda:0, ... (default: auto)")
    predict.set_defaults(run=_predict)


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write a model as an ONNX file",
        description="Write a model as an ONNX file. The file holds the network without the preparation of the table; the "
        "command prints what its inputs and outputs mean.",
    )
    export.add_argument("model", metavar="MODEL", help="a model file")
    export.add_argument("output", metavar="ONNX", help="the file to write; its name ends in .onnx")
    export.set_defaults(run=_export)


def _add_info(commands: Any) -> None:
    info = commands.add_parser("info", help="list the backends: which are usable here, and why the others are not")
    info.set_defaults(run=_info)


def _add_example(commands: Any) -> None:
    example = commands.add_parser("example", help="compute the article's worked example and compare with its printed values")
    example.add_argument(
        "--decimals",
        type=_decimals,
        help="round every result to this many decimals before using it further; the article uses 4",
    )
    example.add_argument("--backend", help="a backend such as torch:cuda:0 (default: every usable backend)")
    example.set_defaults(run=_example)


def _add_explain(commands: Any) -> None:
    explain = commands.add_parser(
        "explain",
        help="work through backpropagation for a network, every formula with its numbers",
        description="Work through backpropagation for a network as the article does, every formula with its numbers: "
        "forward propagation, the error, the chain rule, the deltas, every gradient and the update. Without arguments, it is "
        "the article's example.",
        epilog="Example: portable-bp explain --sizes 3,4,2 --input 1,0,1 --target 0,1 --open",
    )
    add = explain.add_argument
    add("--sizes", type=_sizes, help="the number of inputs, then of neurons in each layer, such as 3,4,2: a new network")
    add("--model", metavar="FILE", help="explain the network of a model file")
    add(
        "--input",
        type=_numbers,
        action="append",
        dest="inputs",
        metavar="NUMBERS",
        help="a sample: a number for each input, separated by commas (repeatable; default: 1,0,1,...)",
    )
    add(
        "--target",
        type=_numbers,
        action="append",
        dest="targets",
        metavar="NUMBERS",
        help="the target of a sample: a number for each output (repeatable; default: 0,1,0,...)",
    )
    add(
        "--activation",
        type=_names,
        metavar="NAMES",
        help="the activation of all layers, or of each, separated by commas "
        f"(default: sigmoid); one of {', '.join(ACTIVATIONS)}",
    )
    add(
        "--loss",
        metavar="NAME",
        help=f"one of {', '.join(LOSSES)} (default: that of the model, or squared_error)",
    )
    add("--learning-rate", type=_rate, default=0.5, metavar="RATE", help="the learning rate of the update (default: 0.5)")
    add(
        "--decimals",
        type=_decimals,
        metavar="NUMBER",
        help="round every result to this many decimals before using it further "
        "(default: 4 for the article's example; others are computed with all digits and shown with 4)",
    )
    add("--seed", type=_whole, metavar="NUMBER", help="seed of the weights of a new network (default: 0)")
    add("--backend", default="numpy", help="backend to compute on (default: numpy)")
    add("--format", choices=list(EXTENSIONS), dest="form", help="output format (default: by file extension, else text)")
    add("-o", "--output", metavar="FILE", help="the file to write: a .txt, .md, .tex or .html file (default: print it)")
    add("--open", action="store_true", help="open the page, on which everything can be changed, in the browser")
    explain.set_defaults(run=_explain)


def _add_check_gradient(commands: Any) -> None:
    check = commands.add_parser(
        "check-gradient",
        help="compare a model's gradient with finite differences",
        description="Compare the gradient that backpropagation computes for a model with finite differences of its error, "
        "layer by layer, for random inputs from a standard normal distribution and random targets that suit the loss. The "
        "exit code is 1 if they differ.",
        epilog="Example: portable-bp check-gradient model.safetensors --samples 10",
    )
    add = check.add_argument
    add("model", metavar="MODEL", help="a model file")
    add("--samples", type=_count, default=20, metavar="NUMBER", help="number of random samples (default: 20)")
    add("--seed", type=_whole, default=0, metavar="NUMBER", help="seed of all random numbers (default: 0)")
    add(
        "--loss",
        choices=list(LOSSES),
        metavar="NAME",
        help="a loss such as squared_error (default: the one that the model was trained with, else squared_error)",
    )
    check.set_defaults(run=_check_gradient)


def _add_guide(commands: Any) -> None:
    guide = commands.add_parser("guide", help="list the pages of the guide, or show one")
    guide.add_argument("page", nargs="?", metavar="PAGE", help=f"one of {', '.join(PAGES)} (default: list them)")
    guide.set_defaults(run=_guide)


def _checked(convert: Callable[[str], Any], is_valid: Callable[[Any], bool], expected: str) -> Callable[[str], Any]:
    def check(given: str) -> Any:
        try:
            value = convert(given)
        except ValueError:
            value = None
        if value is None or not is_valid(value):
            raise argparse.ArgumentTypeError(f"{given!r} is not {expected}")
        return value

    return check


_whole = _checked(int, lambda number: number >= 0, "an integer of at least 0")
_count = _checked(int, lambda number: number >= 1, "an integer of at least 1")
_members = _checked(int, lambda number: 1 <= number <= 1000, "an integer from 1 to 1,000")
_rate = _checked(float, lambda number: 0.0 < number < math.inf, "a number above 0")
_share = _checked(float, lambda number: 0.0 < number < 1.0, "a number between 0 and 1")
_sizes = _checked(
    lambda given: [int(size) for size in given.split(",")],
    lambda sizes: min(sizes) >= 1,
    "a list of integers of at least 1 separated by commas, such as 64,32",
)
_numbers = _checked(
    lambda given: [float(number) for number in given.split(",")],
    lambda numbers: all(map(math.isfinite, numbers)),
    "a list of numbers separated by commas, such as 1,0",
)
_names = _checked(lambda given: given.split(","), all, "a list of names separated by commas, such as tanh,sigmoid")
_decimals = _checked(int, lambda decimals: 0 <= decimals <= 15, "an integer between 0 and 15")


def _train(options: argparse.Namespace) -> int:
    given = {name: value for name, value in vars(options).items() if name != "run"}
    training = TrainingOptions(**{"picture": f"{os.path.splitext(options.model)[0]}.png", **given})
    result = train_table(training, print if training.progress else lambda line: None)
    print(result.score)
    return 130 if result.interrupted else 0


def _predict(options: argparse.Namespace) -> int:
    if options.output:
        check_output(options.output, TABLE_EXTENSIONS, [options.model, options.table])
    predictions = predict_table(options.model, options.table, _print_message, options.backend, options.ignore, options.interval)
    if options.output:
        write_table(predictions, options.output)
    else:
        print(predictions.write_csv(), end="", flush=True)
    return 0


def _export(options: argparse.Namespace) -> int:
    check_output(options.output, [".onnx"], [options.model])
    network, recipe = load_model(options.model, "numpy")
    network.to_onnx(options.output)
    print(f"Written: {options.output}.")
    for line in recipe.describe() if recipe else ():
        print(line)
    return 0


def _info(options: argparse.Namespace) -> int:
    print(f"portable_bp {__version__}")
    for backend in available_backends():
        version = backend.version or "-"
        state = f"usable on {', '.join(backend.devices)}" if backend.usable else f"not usable: {backend.reason}"
        print(f"{backend.name:<8}{version:<16}{state}")
    print(f"steps of long trainings on numpy: {compilation_state()}")
    return 0


def _example(options: argparse.Namespace) -> int:
    backends = [options.backend] if options.backend else [row.name for row in available_backends() if row.usable]
    columns = {}
    for backend in backends:
        network = Network.from_weights(article.WEIGHTS, backend=backend, dtype="float64")
        trace = network.trace(article.INPUTS, article.TARGET, decimals=options.decimals)
        columns[backend] = dict(named_numbers(trace, network.backend.to_numpy))
    table, agrees = article_table(columns, options.decimals)
    rounding = "no rounding" if options.decimals is None else f"every result rounded to {options.decimals} decimals"
    print(f"The article's network 2-4-3-2, inputs {article.INPUTS}, target {article.TARGET}; {rounding}.\n\n{table}\n")
    if options.decimals in (None, 4):
        print(_compare_with_article(agrees, exact=options.decimals is None))
    print("Every step with its formula: portable-bp explain. As a page in the browser: portable-bp explain --open")
    return 0 if agrees else 1


def _compare_with_article(agrees: bool, exact: bool) -> str:
    if not agrees:
        return "Some values differ from the article's: see the marked lines."
    if exact:
        return "All printed values match within one unit of their last digit (the article rounds), except one known misprint."
    return "All printed values match, except one known misprint."


def _explain(options: argparse.Namespace) -> int:
    form = _explained_format(options)
    network, decimals = _explained_network(options)
    loss = resolve_loss(options.loss or network.loss_function or "squared_error")
    inputs, targets = _explained_samples(options, network.sizes, loss)
    text = getattr(network.trace(inputs, targets, loss, decimals), f"to_{form}")(options.learning_rate)
    path = options.output
    if path is None and not options.open:
        print(text, end="", flush=True)
        return 0
    if path is None:
        with tempfile.NamedTemporaryFile(prefix="backpropagation-", suffix=".html", delete=False) as file:
            path = file.name
    replace_file(path, text.encode())
    print(f"Written: {path}.")
    if options.open:
        webbrowser.open(Path(path).absolute().as_uri())
    return 0


def _explained_samples(options: argparse.Namespace, sizes: Sequence[int], loss: Any) -> tuple[list[Any], list[Any]]:
    """Return the inputs and the targets that were given, or simple ones, which are told."""
    inputs, targets = options.inputs, options.targets
    if inputs is None:
        inputs = [[float(1 - place % 2) for place in range(sizes[0])]]
        _print_assumed("--input", inputs[0], options)
    if targets is None:
        places = [1 % sizes[-1]] if getattr(loss, "takes_classes", False) else range(1, sizes[-1], 2)
        targets = [[float(place in places) for place in range(sizes[-1])]] * len(inputs)
        _print_assumed("--target", targets[0], options)
    for name, rows, size, unit in (("--input", inputs, sizes[0], "input"), ("--target", targets, sizes[-1], "output")):
        if wrong := next((row for row in rows if len(row) != size), None):
            given, expected = counted(len(wrong), "number"), counted(size, unit)
            raise ValueError(f"{name} {_listed(wrong)} has {given}, and the network has {expected}: give {size}.")
    if len(targets) != len(inputs):
        times = ["once" if len(rows) == 1 else f"{len(rows)} times" for rows in (inputs, targets)]
        raise ValueError(f"--input is given {times[0]}, and --target {times[1]}: give one target for each input.")
    return inputs, targets


def _explained_format(options: argparse.Namespace) -> str:
    """Return the format of an explanation, or raise a ValueError if the options do not agree."""
    form = options.form or ("html" if options.open else None)
    if options.output:
        known = [EXTENSIONS[form]] if form else list(EXTENSIONS.values())
        check_output(options.output, known, [options.model] if options.model else [])
        form = form or next(name for name, extension in EXTENSIONS.items() if options.output.lower().endswith(extension))
    if options.open and form != "html":
        raise ValueError(
            f"--open shows a page, and the format is {form}: leave --format out, or give -o a name that ends in .html."
        )
    return form or "text"


def _explained_network(options: argparse.Namespace) -> tuple[Network, int | None]:
    """Return the network to explain, and the number of decimals to round to."""
    if options.seed is not None and not options.sizes:
        raise ValueError("--seed is for a new network: give its --sizes too.")
    if options.model:
        if options.sizes or options.activation:
            raise ValueError("--model has its own sizes and activations: leave --sizes and --activation out.")
        return _load_single(options.model, options.backend), options.decimals
    activation = options.activation or ["sigmoid"]
    activation = activation[0] if len(activation) == 1 else activation
    settings: dict[str, Any] = {"output_activation": None, "backend": options.backend, "dtype": "float64"}
    if not options.sizes:
        network = Network.from_weights(article.WEIGHTS, None, activation, **settings)
        return network, 4 if options.decimals is None else options.decimals
    drawn = Network(options.sizes, activation, backend="numpy", dtype="float64", seed=options.seed or 0)
    weights = [np.round(layer.weight, 2) for layer in drawn.layers]  # as one would choose them by hand
    return Network.from_weights(weights, [layer.bias for layer in drawn.layers], activation, **settings), options.decimals


def _load_single(path: str, backend: str) -> Network:
    """Return the network of a model file, the first one if there are several, which is told."""
    network = load(path, backend)
    if network.population is None:
        return network
    _print_message(f"{path} has {network.population} networks: using the first one.")
    return network.member(0)


def _print_assumed(name: str, numbers: Sequence[float], options: argparse.Namespace) -> None:
    if options.sizes or options.model:
        _print_message(f"{name} is not given: using {_listed(numbers)}.")


def _listed(numbers: Sequence[float]) -> str:
    return ",".join(f"{number:g}" for number in numbers)


def _check_gradient(options: argparse.Namespace) -> int:
    network = _load_single(options.model, "numpy")
    loss = resolve_loss(options.loss or network.loss_function or "squared_error")
    generator = np.random.default_rng(options.seed)
    inputs = generator.normal(size=(options.samples, network.sizes[0]))
    target = _draw_target(loss, generator, (options.samples, network.sizes[-1]))
    check = check_gradient(network, inputs, target, loss, options.seed)
    samples = "1 random sample" if options.samples == 1 else f"{options.samples:,} random samples"
    print(f"{network!r}; {piece_name(loss)} of {samples}, in float64.\n\n{check}")
    return 0 if check.passed else 1


def _draw_target(loss: Any, generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw targets that suit a loss: classes, 0 or 1, counts, or any numbers."""
    if getattr(loss, "takes_classes", False):
        return generator.integers(shape[1], size=shape[0])
    bounds = getattr(loss, "target_bounds", (-math.inf, math.inf))
    if bounds == (0.0, 1.0):
        return generator.integers(2, size=shape).astype(float)
    return generator.poisson(2.0, size=shape).astype(float) if bounds[0] == 0.0 else generator.normal(size=shape)


def _guide(options: argparse.Namespace) -> int:
    if options.page:
        pydoc.pager(read_page(options.page).text)  # prints plain text if the output is not a terminal
        return 0
    print("The guide. Read a page with: portable-bp guide PAGE\n")
    width = max(map(len, PAGES))
    for page in map(read_page, PAGES):
        print(f"  {page.name:<{width}}  {page.title}. {page.summary}")
    return 0
