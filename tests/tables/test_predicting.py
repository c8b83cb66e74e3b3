"""Predicting tables, as a user calls it."""

import os
import subprocess
import sys

import numpy as np
import onnxruntime
import polars
import pytest

import portable_bp as bp
from portable_bp.cli import main
from portable_bp.tables import find_recipe, predictor
from portable_bp.tables.files import read_table
from tests.support.tables import flowers, predict, prices, train


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
    more = table.with_columns(more=1, less=2)
    for output, read in (("out.csv", polars.read_csv), ("out.parquet", polars.read_parquet)):
        assert predict(folder, more, "--ignore", "less,more", output=output) == 0
        assert read(folder / output).equals(expected)
    assert predict(folder, table, output="out.tsv") == 0
    assert polars.read_csv(folder / "out.tsv", separator="\t").equals(expected)
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
        "portable-bp: missing values are replaced by the mean of training: "
        "'length' (in 1 of 4 rows), 'fresh' (in 4 of 4 rows).\n"
        "portable-bp: column 'color' has categories that training had not, taken as none of the known ones: "
        "a missing value, 'azure', 'green\\x1b[31m'.\n"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop("length", "fresh"), "it lacks 'length', 'fresh', which"),
        (lambda table: table.with_columns(more=1), "the model was not trained with 'more' (leave out with --ignore 'more')"),
        (
            lambda table: table.rename({"color": "colour"}),
            "it lacks 'color', which the model was trained with; the model was not trained with 'colour'",
        ),
        (
            lambda table: table.with_columns(length=polars.Series(["1", "2", "3 cm", "4"])),
            "has '3 cm' in column 'length', line 4, and numbers in training: correct or clear that cell",
        ),
        (
            lambda table: table.with_columns(fresh=polars.Series([0, 1, 1, 0])),
            "'fresh' is of kind number, and was of kind boolean in training",
        ),
        (
            lambda table: table.with_columns(length=polars.Series([True, False] * 2)),
            "'length' is of kind boolean, and was of kind number in training",
        ),
        (lambda table: table.with_columns(length=polars.date(2024, 1, 2)), "'length' (Date)"),
        (lambda table: table.with_columns(length=1e99), "column 'length' holds 1e+99, too far"),
        (lambda table: table.with_columns(length=float("inf")), "has infinity, or numbers beyond 1e+100, in 'length'"),
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
    assert "'color' is of kind number, and was of kind text in training" in capsys.readouterr().err
    assert predict(folder, table) == 0
    assert "'1', '2', '3', '4'" in capsys.readouterr().err


def exported(folder):
    """Return the outputs of the exported model for out.csv's rows, and its recipe."""
    model = str(folder / "model.safetensors")
    assert main(["export", model, str(folder / "model.onnx")]) == 0
    recipe = find_recipe(model, bp.load(model, "numpy"))
    x = recipe.encode(read_table(str(folder / "new.csv"), recipe.known).frame, "float32").make(slice(None))
    return onnxruntime.InferenceSession(folder / "model.onnx").run(None, {"x": x})[0], recipe


def test_what_is_exported_predicts_the_same_classes(folder, capsys):
    assert predict(folder, flowers(50, seed=1)) == 0
    nets, recipe = exported(folder)
    restored = polars.DataFrame(recipe.target.restore(nets))
    assert restored["species"].equals(out(folder)["species"])
    np.testing.assert_allclose(restored.drop("species").to_numpy(), out(folder).drop("species").to_numpy(), atol=1e-6)
    told = capsys.readouterr().out
    assert "0: ('length' - " in told and "'color' is, and 0 for the others, of 'blue', 'red'" in told
    assert "3: ('fresh' - " in told and "1 for true" in told
    assert "a net for each class of 'species', the largest for the likeliest: 'iris', 'rose', 'tulip'." in told


def test_what_is_exported_predicts_the_same_numbers(tmp_path, capsys):
    assert train(tmp_path, prices(), "price", "--epochs", "5", "--quiet") == 0
    assert predict(tmp_path, prices(50, seed=1)) == 0
    given, recipe = exported(tmp_path)
    np.testing.assert_allclose(given, recipe.target.prepare(out(tmp_path)["price"]), rtol=0.0, atol=1e-6)
    assert f"Its output is ('price' - {recipe.target.mean!r}) / {recipe.target.scale!r}." in capsys.readouterr().out


def test_any_model_can_be_exported_and_none_is_written_over(tmp_path, capsys):
    bp.Network([3, 2], backend="numpy").save(tmp_path / "model.safetensors")
    assert main(["export", str(tmp_path / "model.safetensors"), str(tmp_path / "model.onnx")]) == 0
    assert capsys.readouterr().out == f"Written: {tmp_path / 'model.onnx'}.\n"
    assert main(["export", str(tmp_path / "model.onnx"), str(tmp_path / "model.onnx")]) == 2
    assert "would be written over" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("new.csv", "would be written over, and it is needed"),
        ("model.safetensors", "should end in .csv or .tsv or .parquet"),
        ("none/out.csv", "cannot be written: give the name of a file, in a folder that is there"),
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
    assert "has a recipe of a table that cannot be true: its lists and dicts are nested 100,000 deep" in capsys.readouterr().err
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
