"""The commands for tables: ``train``, ``predict`` and ``export``."""

from __future__ import annotations

import argparse
import os
from typing import Any

from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.cli import arguments
from portable_bp.cli.messages import print_message
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


def add_train(commands: Any) -> None:
    """Add the command ``train``."""
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
    add(
        "--members",
        type=arguments.members,
        metavar="NUMBER",
        help="how many networks to train; their mean predicts (default: 8)",
    )
    add("--hidden", type=arguments.sizes, metavar="SIZES", help="number of neurons in each hidden layer (default: 64,32)")
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
    add("--held-out", type=arguments.share, metavar="SHARE", help="share of the rows kept for the final score (default: 0.2)")
    add("--seed", type=arguments.whole, metavar="NUMBER", help="seed of all random numbers (default: 0)")
    add(
        "--epochs",
        type=arguments.count,
        metavar="NUMBER",
        help="maximum number of epochs; training stops earlier if validation does not improve (default: 500)",
    )
    add("--batch-size", type=arguments.count, metavar="NUMBER", help="rows per step (default: 1%% of the rows, from 32 to 256)")
    add("--learning-rate", type=arguments.rate, metavar="RATE", help="learning rate of Adam (default: 0.001)")
    add("--activation", choices=list(ACTIVATIONS), metavar="NAME", help="activation of the hidden layers (default: relu)")
    add("--backend", help="backend to train on: numpy, cupy, torch, jax, torch:cuda:0, ... (default: auto)")
    add(
        "--picture",
        metavar="FILE",
        help="where to draw the losses: a .png, .svg or .pdf file (default: the model's name with .png)",
    )
    add("--quiet", action="store_false", dest="progress", help="print nothing but the score")
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    given = {name: value for name, value in vars(options).items() if name != "run"}
    training = TrainingOptions(**{"picture": f"{os.path.splitext(options.model)[0]}.png", **given})
    result = train_table(training, print if training.progress else lambda line: None)
    print(result.score)
    return 130 if result.interrupted else 0


def add_predict(commands: Any) -> None:
    """Add the command ``predict``."""
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
        type=arguments.share,
        metavar="SHARE",
        help="for numbers, also write limits that hold this share of new values, such as 0.9",
    )
    add("--backend", default="auto", help="backend to predict on: numpy, cupy, torch, jax, torch:cuda:0, ... (default: auto)")
    predict.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    if options.output:
        check_output(options.output, TABLE_EXTENSIONS, [options.model, options.table])
    predictions = predict_table(options.model, options.table, print_message, options.backend, options.ignore, options.interval)
    if options.output:
        write_table(predictions, options.output)
    else:
        print(predictions.write_csv(), end="", flush=True)
    return 0


def add_export(commands: Any) -> None:
    """Add the command ``export``."""
    export = commands.add_parser(
        "export",
        help="write a model as an ONNX file",
        description="Write a model as an ONNX file. The file holds the network without the preparation of the table; the "
        "command prints what its inputs and outputs mean.",
    )
    export.add_argument("model", metavar="MODEL", help="a model file")
    export.add_argument("output", metavar="ONNX", help="the file to write; its name ends in .onnx")
    export.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    check_output(options.output, [".onnx"], [options.model])
    network, recipe = load_model(options.model, "numpy")
    network.to_onnx(options.output)
    print(f"Written: {options.output}.")
    for line in recipe.describe() if recipe else ():
        print(line)
    return 0
