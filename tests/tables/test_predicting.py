"""Predicting tables, as a user calls it."""

import os
import subprocess
import sys

import numpy as np
import polars
import pytest

import portable_bp as bp
from portable_bp.cli import main
from portable_bp.tables import predictor
from tests.tables.tables import flowers, predict, prices, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model of flowers."""
    folder = tmp_path_factory.mktemp("trained")
    assert train(folder, flowers(), "species", "--epochs", "30", "--quiet") == 0
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A folder of one's own, with the model."""
    (tmp_path / "model.safetensors").write_bytes((trained / "model.safetensors").read_bytes())
    return tmp_path


def out(folder):
    return polars.read_csv(folder / "out.csv")


def test_order_target_and_format_change_nothing(folder, capsys):
    table = flowers(20, seed=1)
    assert predict(folder, table) == 0
    expected = out(folder)
    for other in (
        table.drop("species"),
        table.select(sorted(table.columns)),
        table.with_columns(species=polars.date(2024, 1, 1)),
    ):
        for name in ("new.csv", "new.parquet"):
            assert predict(folder, other, name=name) == 0
            assert out(folder).equals(expected)
    assert predict(folder, table.with_columns(more=1, less=2), "--ignore", "less,more") == 0
    assert out(folder).equals(expected)
    for ending, read in (("parquet", polars.read_parquet), ("tsv", lambda path: polars.read_csv(path, separator="\t"))):
        target = folder / f"other.{ending}"
        assert (
            main(
                [
                    "predict",
                    str(folder / "model.safetensors"),
                    str(folder / "new.csv"),
                    "-o",
                    str(target),
                    "--ignore",
                    "less,more",
                ]
            )
            == 0
        )
        assert read(target).equals(expected)
    told = capsys.readouterr()
    assert told.out == told.err == ""


def test_without_an_output_csv_is_printed(folder, capsys):
    assert predict(folder, flowers(5)) == 0
    assert main(["predict", str(folder / "model.safetensors"), str(folder / "new.csv")]) == 0
    assert capsys.readouterr().out == (folder / "out.csv").read_text()


def test_chunks_change_nothing(folder, monkeypatch):
    assert predict(folder, flowers(50)) == 0
    expected = out(folder)
    monkeypatch.setattr(predictor, "MOST_NUMBERS", 7 * 16)
    assert predict(folder, flowers(50)) == 0
    assert out(folder)["species"].to_list() == expected["species"].to_list()
    np.testing.assert_allclose(out(folder).drop("species").to_numpy(), expected.drop("species").to_numpy(), atol=1e-6)


def test_what_is_missing_or_new_is_told(folder, capsys):
    table = flowers(4).with_columns(
        length=polars.Series([None, 1.0, 2.0, 0.0]), color=polars.Series(["blue", "green\x1b[31m", None, "azure"]), fresh=None
    )
    assert predict(folder, table, name="new.parquet") == 0
    assert out(folder).height == 4
    assert capsys.readouterr().err == (
        "portable-bp: column 'color' has categories that training had not, taken as none of the known ones: "
        "'azure', 'green\\x1b[31m', a missing value.\n"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop("length", "fresh"), "it lacks 'length', 'fresh', which the model was trained with"),
        (lambda table: table.with_columns(more=1), "it has 'more', which the model was not trained with (--ignore leaves"),
        (
            lambda table: table.rename({"color": "colour"}),
            "it lacks 'color', which the model was trained with; it has 'colour'",
        ),
        (
            lambda table: table.with_columns(length=polars.Series(["1", "2", "3 cm", "4"])),
            "'length' holds text, such as '3 cm',",
        ),
        (
            lambda table: table.with_columns(fresh=polars.Series([0, 1, 1, 0])),
            "'fresh' holds numbers where the model knows booleans",
        ),
        (lambda table: table.with_columns(length=polars.Series([True, False] * 2)), "'length' holds booleans where the model"),
        (lambda table: table.with_columns(length=polars.date(2024, 1, 2)), "'length' (Date)"),
        (lambda table: table.with_columns(length=1e300), "column 'length' holds 1e+300, too far"),
        (lambda table: table.with_columns(length=float("inf")), "has infinity in 'length'"),
        (lambda table: table.head(0), "has the names of columns and no rows"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(folder, capsys, change, said):
    (folder / "out.csv").write_text("of old")
    assert predict(folder, change(flowers(4))) == 2
    error = capsys.readouterr().err
    assert error.startswith("portable-bp: ") and error.count("\n") == 1 and said in error
    assert (folder / "out.csv").read_text() == "of old"


def test_text_in_parquet_stays_text(folder, capsys):
    table = flowers(4).with_columns(color=polars.Series([1, 2, 3, 4]))
    assert predict(folder, table, name="new.parquet") == 2
    assert "'color' holds numbers where the model knows texts" in capsys.readouterr().err
    assert predict(folder, table) == 0
    assert "'1', '2', '3', '4'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("new.csv", "would be written over, and it is needed"),
        ("model.safetensors", "should end in .csv or .tsv or .parquet"),
        ("none/out.csv", "cannot be written (No such file or directory)"),
        ("out.xlsx", "should end in .csv"),
    ],
)
def test_what_cannot_be_written_is_refused(folder, capsys, monkeypatch, output, said):
    monkeypatch.chdir(folder)
    flowers(4).write_csv("new.csv")
    before = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    assert main(["predict", "model.safetensors", "new.csv", "-o", output]) == 2
    assert said in capsys.readouterr().err
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == before


def test_models_of_something_else_are_refused(folder, capsys):
    network = bp.Network([3, 2], backend="numpy")
    network.save(folder / "model.safetensors")
    assert predict(folder, flowers(4)) == 2
    assert "has no recipe of a table's columns: give a model that 'portable-bp train' wrote" in capsys.readouterr().err
    network.notes["table"] = "[" * 100_000
    network.save(folder / "model.safetensors")
    assert predict(folder, flowers(4)) == 2
    assert "has a recipe of a table that cannot be true: it is nested too deep" in capsys.readouterr().err
    (folder / "model.safetensors").write_bytes(b"nothing")
    assert predict(folder, flowers(4)) == 2
    (folder / "model.safetensors").unlink()
    assert predict(folder, flowers(4)) == 2
    assert "model.safetensors cannot be used (No such file or directory): check its name." in capsys.readouterr().err


def test_weights_of_no_use_are_found(tmp_path, capsys):
    assert train(tmp_path, prices(), "price", "--epochs", "1", "--quiet") == 0
    loaded = bp.load(tmp_path / "model.safetensors", "numpy")
    weights, biases = zip(*loaded.layers, strict=True)
    wild = bp.Network.from_weights([3e38 + 0 * weight for weight in weights], biases, "relu", "identity", backend="numpy")
    wild.notes = loaded.notes
    wild.save(tmp_path / "model.safetensors")
    assert predict(tmp_path, prices(5)) == 2
    assert "gives infinity or NaN for rows of" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_may_stop_reading(folder):
    flowers(20_000).write_csv(folder / "new.csv")
    script = f"{sys.executable} -m portable_bp predict model.safetensors new.csv | head -2"
    done = subprocess.run(script, shell=True, cwd=folder, capture_output=True, text=True)
    assert done.stdout.count("\n") == 2 and done.stderr == ""
