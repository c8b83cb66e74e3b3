"""The command ``explain``: backpropagation worked through for a network, with every number."""

from __future__ import annotations

import argparse
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.choices import resolve_loss
from portable_bp.algorithm.losses import LOSSES
from portable_bp.cli import arguments
from portable_bp.cli.messages import print_message
from portable_bp.cli.models import load_single
from portable_bp.common.words import counted
from portable_bp.inspection import article
from portable_bp.network import Network
from portable_bp.storage import replace_file
from portable_bp.tables import check_output

# The formats of an explanation, with the extensions of their files; a trace has a method for each.
EXTENSIONS = {"text": ".txt", "markdown": ".md", "latex": ".tex", "html": ".html"}


def add_explain(commands: Any) -> None:
    """Add the command ``explain``."""
    explain = commands.add_parser(
        "explain",
        help="work through backpropagation for a network, every formula with its numbers",
        description="Work through backpropagation for a network as the article does, every formula with its numbers: "
        "forward propagation, the error, the chain rule, the deltas, every gradient and the update. Without arguments, it is "
        "the article's example.",
        epilog="Example: portable-bp explain --sizes 3,4,2 --input 1,0,1 --target 0,1 --open",
    )
    add = explain.add_argument
    add(
        "--sizes",
        type=arguments.sizes,
        help="the number of inputs, then of neurons in each layer, such as 3,4,2: a new network",
    )
    add("--model", metavar="FILE", help="explain the network of a model file")
    add(
        "--input",
        type=arguments.numbers,
        action="append",
        dest="inputs",
        metavar="NUMBERS",
        help="a sample: a number for each input, separated by commas (repeatable; default: 1,0,1,...)",
    )
    add(
        "--target",
        type=arguments.numbers,
        action="append",
        dest="targets",
        metavar="NUMBERS",
        help="the target of a sample: a number for each output (repeatable; default: 0,1,0,...)",
    )
    add(
        "--activation",
        type=arguments.names,
        metavar="NAMES",
        help="the activation of all layers, or of each, separated by commas "
        f"(default: sigmoid); one of {', '.join(ACTIVATIONS)}",
    )
    add(
        "--loss",
        metavar="NAME",
        help=f"one of {', '.join(LOSSES)} (default: that of the model, or squared_error)",
    )
    add(
        "--learning-rate",
        type=arguments.rate,
        default=0.5,
        metavar="RATE",
        help="the learning rate of the update (default: 0.5)",
    )
    add(
        "--decimals",
        type=arguments.decimals,
        metavar="NUMBER",
        help="round every result to this many decimals before using it further "
        "(default: 4 for the article's example; others are computed with all digits and shown with 4)",
    )
    add("--seed", type=arguments.whole, metavar="NUMBER", help="seed of the weights of a new network (default: 0)")
    add("--backend", default="numpy", help="backend to compute on (default: numpy)")
    add("--format", choices=list(EXTENSIONS), dest="form", help="output format (default: by file extension, else text)")
    add("-o", "--output", metavar="FILE", help="the file to write: a .txt, .md, .tex or .html file (default: print it)")
    add("--open", action="store_true", help="open the page, on which everything can be changed, in the browser")
    explain.set_defaults(run=_explain)


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
        try:
            webbrowser.open(Path(path).absolute().as_uri())
        except KeyboardInterrupt:  # the page is written, whatever became of the browser
            print_message(f"interrupted; {path} was written.")
            return 130
    return 0


def _explained_samples(options: argparse.Namespace, sizes: Sequence[int], loss: Any) -> tuple[list[Any], list[Any]]:
    """Return the inputs and the targets that were given, or simple ones, and say so."""
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
        return load_single(options.model, options.backend), options.decimals
    activation = options.activation or ["sigmoid"]
    activation = activation[0] if len(activation) == 1 else activation
    settings: dict[str, Any] = {"output_activation": None, "backend": options.backend, "dtype": "float64"}
    if not options.sizes:
        network = Network.from_weights(article.WEIGHTS, None, activation, **settings)
        return network, 4 if options.decimals is None else options.decimals
    drawn = Network(options.sizes, activation, backend="numpy", dtype="float64", seed=options.seed or 0)
    weights = [np.round(layer.weight, 2) for layer in drawn.layers]  # as one would choose them by hand
    return Network.from_weights(weights, [layer.bias for layer in drawn.layers], activation, **settings), options.decimals


def _print_assumed(name: str, numbers: Sequence[float], options: argparse.Namespace) -> None:
    if options.sizes or options.model:
        print_message(f"{name} is not given: using {_listed(numbers)}.")


def _listed(numbers: Sequence[float]) -> str:
    return ",".join(f"{number:g}" for number in numbers)
