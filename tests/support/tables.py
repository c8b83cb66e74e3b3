"""Small tables to train on, and the commands that train and predict."""

import numpy as np
import polars
import pytest

from portable_bp.cli import main


def flowers(rows=60, seed=0):
    """Return a table whose classes follow from a number and a color; its boolean is noise."""
    generator = np.random.default_rng(seed)
    kind = generator.integers(0, 3, rows)
    return polars.DataFrame(
        {
            "length": kind + generator.normal(0.0, 0.1, rows),
            "color": [["blue", "red", "red"][number] for number in kind],
            "fresh": generator.random(rows) < 0.5,
            "species": [["iris", "rose", "tulip"][number] for number in kind],
        }
    )


def prices(rows=80, seed=0):
    """Return a table whose price depends on a size and a town."""
    generator = np.random.default_rng(seed)
    size = generator.uniform(20.0, 200.0, rows)
    town = generator.integers(0, 2, rows)
    cost = 1000.0 * size + 50_000.0 * town + generator.normal(0.0, 1000.0, rows)
    return polars.DataFrame({"size": size, "town": [["Bonn", "Kiel"][number] for number in town], "price": cost})


def skip_without_training_packages(*options):
    for library in ("safetensors", "matplotlib", *(() if "--quiet" in options else ("tqdm",))):
        pytest.importorskip(library)


def train(folder, table, target, *more, ending="csv"):
    """Write a table to a file, train on it and return the exit code."""
    skip_without_training_packages(*more)
    path = folder / f"data.{ending}"
    getattr(table, f"write_{ending}")(path)
    fixed = ["--target", target, "-o", str(folder / "model.safetensors"), "--hidden", "16", "--learning-rate", "0.01"]
    return main(["train", str(path), *fixed, "--members", "2", *more])


def predict(folder, table, *more, name="new.csv", output="out.csv"):
    """Write a table to a file, predict it and return the exit code."""
    path = folder / name
    (table.write_parquet if name.endswith(".parquet") else table.write_csv)(path)
    return main(["predict", str(folder / "model.safetensors"), str(path), "-o", str(folder / output), *more])
