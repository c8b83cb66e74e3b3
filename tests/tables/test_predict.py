"""The commands `portable-bp predict` and `portable-bp export`."""

import os
import subprocess
import sys

import numpy as np
import onnxruntime
import polars
import pytest

import portable_bp as bp
from portable_bp.cli import main
from portable_bp.tables import find_recipe
from portable_bp.tables import predict as prediction
from portable_bp.tables.table import read_table
from tests.support.tables import flowers, predict, prices, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model of flowers, shared by all tests."""
    folder = tmp_path_factory.mktemp("trained")
    assert train(folder, flowers(), "species", "--epochs", "30", "--quiet") == 0
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A folder for one test, with a copy of the model."""
    (tmp_path / "model.safetensors").write_bytes((trained / "model.safetensors").read_bytes())
    return tmp_path


def out(folder):
    return polars.read_csv(folder / "out.csv")


def test_column_order_target_and_file_format_do_not_matter(folder, capsys):
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
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_csv_is_printed_without_an_output_file(folder, capsys):
    assert predict(folder, flowers(5)) == 0
    assert main(["predict", str(folder / "model.safetensors"), str(folder / "new.csv")]) == 0
    assert capsys.readouterr().out == (folder / "out.csv").read_text()


def test_chunk_size_does_not_matter(folder, monkeypatch):
    assert predict(folder, flowers(50)) == 0
    expected = out(folder)
    monkeypatch.setattr(prediction, "CHUNK_SIZE", 7 * 16)
    assert predict(folder, flowers(50)) == 0
    assert out(folder)["species"].to_list() == expected["species"].to_list()
    np.testing.assert_allclose(out(folder).drop("species").to_numpy(), expected.drop("species").to_numpy(), atol=1e-6)


def test_missing_and_unseen_values_are_reported(folder, capsys):
    table = flowers(4).with_columns(
        length=polars.Series([None, 1.0, 2.0, 0.0]), color=polars.Series(["blue", "green\x1b[31m", None, "azure"]), fresh=None
    )
    assert predict(folder, table, name="new.parquet") == 0
    assert out(folder).height == 4
    assert capsys.readouterr().err == (
        "portable-bp: missing values are replaced by the mean of training: "
        "'length' (in 1 of 4 rows), 'fresh' (in 4 of 4 rows).\n"
        "portable-bp: column 'color' has categories that training did not have, encoded as none of the known ones: "
        "a missing value, 'azure', 'green\\x1b[31m'.\n"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop("length", "fresh"), "it lacks 'length', 'fresh', which"),
        (lambda table: table.with_columns(more=1), "the model was not trained with 'more' (leave out with --ignore 'more')"),
        (
            lambda table: table.rename({"color": "colour"}),
            "it lacks 'color', which the model was trained with; the model was not trained with 'colour'",
        ),
        (
            lambda table: table.with_columns(length=polars.Series(["1", "2", "3 cm", "4"])),
            "has '3 cm' in column 'length', line 4, where training had numbers: correct or clear that cell",
        ),
        (
            lambda table: table.with_columns(fresh=polars.Series([0, 1, 1, 0])),
            "'fresh' has values of kind number, but had kind boolean in training",
        ),
        (
            lambda table: table.with_columns(length=polars.Series([True, False] * 2)),
            "'length' has values of kind boolean, but had kind number in training",
        ),
        (lambda table: table.with_columns(length=polars.date(2024, 1, 2)), "'length' (Date)"),
        (lambda table: table.with_columns(length=1e99), "column 'length' has 1e+99, too far"),
        (lambda table: table.with_columns(length=float("inf")), "has infinity, or numbers beyond 1e+100, in 'length'"),
        (lambda table: table.head(0), "has column names but no rows"),
    ],
)
def test_table_that_does_not_fit_the_model_is_refused(folder, capsys, change, message):
    (folder / "out.csv").write_text("of old")
    assert predict(folder, change(flowers(4))) == 2
    error = capsys.readouterr().err
    assert error.startswith("portable-bp: ") and error.count("\n") == 1 and message in error
    assert (folder / "out.csv").read_text() == "of old"


def test_numbers_in_a_text_column_are_text_in_csv_and_refused_in_parquet(folder, capsys):
    table = flowers(4).with_columns(color=polars.Series([1, 2, 3, 4]))
    assert predict(folder, table, name="new.parquet") == 2
    assert "'color' has values of kind number, but had kind text in training" in capsys.readouterr().err
    assert predict(folder, table) == 0
    assert "'1', '2', '3', '4'" in capsys.readouterr().err


def exported(folder):
    """Return the outputs of the exported model for the rows of new.csv, and the recipe."""
    model = str(folder / "model.safetensors")
    assert main(["export", model, str(folder / "model.onnx")]) == 0
    recipe = find_recipe(model, bp.load(model, "numpy"))
    x = recipe.encode(read_table(str(folder / "new.csv"), recipe.known_formats).frame, "float32").inputs(slice(None))
    return onnxruntime.InferenceSession(folder / "model.onnx").run(None, {"x": x})[0], recipe


def test_exported_model_predicts_the_same_classes(folder, capsys):
    assert predict(folder, flowers(50, seed=1)) == 0
    probabilities, recipe = exported(folder)
    restored = polars.DataFrame(recipe.target.decode(probabilities))
    assert restored["species"].equals(out(folder)["species"])
    np.testing.assert_allclose(restored.drop("species").to_numpy(), out(folder).drop("species").to_numpy(), atol=1e-6)
    printed = capsys.readouterr().out
    assert "0: ('length' - " in printed and "1 for the category of 'color' and 0 for the others: 'blue', 'red'" in printed
    assert "3: ('fresh' - " in printed and "1 for true" in printed
    assert "Its output is the probability of each class of 'species': 'iris', 'rose', 'tulip'." in printed


def test_exported_model_predicts_the_same_numbers(tmp_path, capsys):
    assert train(tmp_path, prices(), "price", "--epochs", "5", "--quiet") == 0
    assert predict(tmp_path, prices(50, seed=1)) == 0
    given, recipe = exported(tmp_path)
    np.testing.assert_allclose(given, recipe.target.encode(out(tmp_path)["price"]), rtol=0.0, atol=1e-6)
    assert f"Its output is ('price' - {recipe.target.mean!r}) / {recipe.target.scale!r}." in capsys.readouterr().out


def test_any_model_can_be_exported_but_not_overwritten(tmp_path, capsys):
    bp.Network([3, 2], backend="numpy").save(tmp_path / "model.safetensors")
    assert main(["export", str(tmp_path / "model.safetensors"), str(tmp_path / "model.onnx")]) == 0
    assert capsys.readouterr().out == f"Written: {tmp_path / 'model.onnx'}.\n"
    assert main(["export", str(tmp_path / "model.onnx"), str(tmp_path / "model.onnx")]) == 2
    assert "would be overwritten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("new.csv", "would be overwritten, but it is needed"),
        ("model.safetensors", "should end in .csv or .tsv or .parquet"),
        ("none/out.csv", "cannot be written: give the name of a file in an existing folder"),
        ("out.xlsx", "should end in .csv"),
    ],
)
def test_output_that_cannot_be_written_is_refused(folder, capsys, monkeypatch, output, message):
    monkeypatch.chdir(folder)
    flowers(4).write_csv("new.csv")
    before = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    assert main(["predict", "model.safetensors", "new.csv", "-o", output]) == 2
    assert message in capsys.readouterr().err
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == before


def test_model_without_a_valid_recipe_is_refused(folder, capsys):
    network = bp.Network([3, 2], backend="numpy")
    network.save(folder / "model.safetensors")
    assert predict(folder, flowers(4)) == 2
    assert "has no recipe for the columns of a table: give a model that 'portable-bp train' wrote" in capsys.readouterr().err
    network.notes["table"] = "[" * 100_000
    network.save(folder / "model.safetensors")
    assert predict(folder, flowers(4)) == 2
    assert "has an invalid recipe for tables: its lists and dicts are nested 100,000 levels deep" in capsys.readouterr().err
    (folder / "model.safetensors").write_bytes(b"nothing")
    assert predict(folder, flowers(4)) == 2
    (folder / "model.safetensors").unlink()
    assert predict(folder, flowers(4)) == 2
    assert "model.safetensors cannot be used (No such file or directory): check its name." in capsys.readouterr().err


def test_weights_that_give_infinity_are_refused(tmp_path, capsys):
    assert train(tmp_path, prices(), "price", "--epochs", "1", "--quiet") == 0
    loaded = bp.load(tmp_path / "model.safetensors", "numpy")
    weights, biases = zip(*loaded.layers, strict=True)
    wild = bp.Network.from_weights([3e38 + 0 * weight for weight in weights], biases, "relu", "identity", backend="numpy")
    wild.notes = loaded.notes
    wild.save(tmp_path / "model.safetensors")
    assert predict(tmp_path, prices(5)) == 2
    assert "predicts infinity or NaN for rows of" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_closed_pipe_is_not_an_error(folder):
    flowers(20_000).write_csv(folder / "new.csv")
    script = f"{sys.executable} -m portable_bp predict model.safetensors new.csv | head -2"
    done = subprocess.run(script, shell=True, cwd=folder, capture_output=True, text=True)
    assert done.stdout.count("\n") == 2 and done.stderr == ""
