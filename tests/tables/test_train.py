"""The command `portable-bp train`."""

import dataclasses
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from datetime import date

import numpy as np
import polars
import pytest
from sklearn.metrics import accuracy_score, r2_score, root_mean_squared_error

import portable_bp as bp
from portable_bp.cli import main
from portable_bp.tables import TrainingOptions, find_recipe
from portable_bp.tables.prepare import prepare_table
from tests.support.tables import flowers, predict, prices, skip_without_training_packages, train
from tests.support.targets import why_unusable


def prepared(tmp_path, target, **chosen):
    """Return data.csv as `portable-bp train` prepares it, split into the same rows."""
    return prepare_table(TrainingOptions(str(tmp_path / "data.csv"), target, "", "", **chosen), lambda line: None)


@pytest.mark.parametrize("more", [[], ["--seed", "3", "--held-out", "0.4"]])
def test_accuracy_matches_scikit_learn(tmp_path, capsys, more):
    assert train(tmp_path, flowers(100), "species", *more) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    table = prepared(tmp_path, "species", **({"seed": 3, "held_out": 0.4} if more else {}))
    assert predict(tmp_path, table.held_out) == 0
    predicted = polars.read_csv(tmp_path / "out.csv")
    true = table.held_out["species"]
    accuracy = accuracy_score(true, predicted["species"])
    assert f"Accuracy {accuracy:.1%} on {len(true)} held-out rows" in last and accuracy > 0.9
    named = re.search("guessing '(.*)', the most common class, would reach (.*)\\.$", last)
    assert named and named[1] in table.training["species"].mode().to_list()
    assert named[2] == f"{(true == named[1]).mean():.1%}"
    probabilities = predicted.drop("species")
    assert probabilities.columns == [f"species_probability_{name}" for name in ("iris", "rose", "tulip")]
    np.testing.assert_allclose(probabilities.sum_horizontal(), 1.0)
    likeliest = np.array(["iris", "rose", "tulip"])[probabilities.to_numpy().argmax(1)]
    assert likeliest.tolist() == predicted["species"].to_list()


def test_r2_and_rmse_match_scikit_learn(tmp_path, capsys):
    assert train(tmp_path, prices(), "price", "--activation", "tanh", "--batch-size", "16") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    true = prepared(tmp_path, "price").held_out
    assert predict(tmp_path, true) == 0
    predicted = polars.read_csv(tmp_path / "out.csv")
    assert predicted.columns == ["price"]
    r2, error = (score(true["price"], predicted["price"]) for score in (r2_score, root_mean_squared_error))
    assert last == f"R2 {r2:.3f} and RMSE {error:.4g} (in the units of 'price') on 16 held-out rows."
    assert r2 > 0.9


def as_trained(network):
    """Return the recipe of a network without the errors of its held-out rows."""
    recipe = find_recipe("", network)
    return dataclasses.replace(recipe, target=dataclasses.replace(recipe.target, errors=()))


def test_held_out_rows_do_not_influence_training(tmp_path):
    """Values of the held-out rows change neither the weights nor the recipe."""
    table = prices()
    assert train(tmp_path, table, "price", "--epochs", "5", "--quiet") == 0
    model = bp.load(tmp_path / "model.safetensors", "numpy")
    held_out = polars.col("size").is_in(prepared(tmp_path, "price").held_out["size"].to_list())
    values = {"size": 1e6, "town": polars.lit("Rome"), "price": 1.0}
    other = table.with_columns(
        polars.when(held_out).then(value).otherwise(polars.col(name)).alias(name) for name, value in values.items()
    )
    assert other["town"].value_counts().height == 3
    assert train(tmp_path, other, "price", "--epochs", "5", "--quiet") == 0
    again = bp.load(tmp_path / "model.safetensors", "numpy")
    assert as_trained(again) == as_trained(model)
    for before, after in zip(model.layers, again.layers, strict=True):
        np.testing.assert_array_equal(before.weight, after.weight)


def test_training_is_reported_and_plotted(tmp_path, capsys):
    table = flowers().to_dict(as_series=False)
    table["length"][3] = table["color"][4] = table["fresh"][5] = table["fresh"][6] = table["species"][7] = None
    table["same"] = [7] * 60
    assert train(tmp_path, polars.DataFrame(table), "species", "--epochs", "3") == 0
    printed = capsys.readouterr()
    for line in (
        "data.csv: 60 rows; skipped 1 without a target.",
        "Column 'length': missing in 1 of 59 rows, replaced by the mean.",
        "Column 'color': missing in 1 of 59 rows, treated as a category of its own.",
        "Column 'fresh': missing in 2 of 59 rows, replaced by the share of true values.",
        "Task: classification into 3 classes, since 'species' is text.",
        "Networks: 2 x ",
        "on numpy; their mean predicts.",
        "Stopped after epoch 3, the most that --epochs allows; each network has the weights of its best epoch.",
    ):
        assert line in printed.out
    assert "batch" in printed.err
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(os.listdir(tmp_path)) == ["data.csv", "model.png", "model.safetensors"]
    recipe = find_recipe("", bp.load(tmp_path / "model.safetensors", "numpy"))
    assert [column.width for column in recipe.columns] in ([1, 3, 1], [1, 2, 1])


def lines_about(tmp_path, table, target, **chosen):
    """Return what `portable-bp train` says about a table before it trains."""
    table.write_csv(tmp_path / "data.csv")
    lines = []
    prepare_table(TrainingOptions(str(tmp_path / "data.csv"), target, "", "", **chosen), lines.append)
    return lines


@pytest.mark.parametrize(
    ("values", "sentinel"),
    [
        ([-999.0, 3.5, 4.5, 5.5], "-999 in 'x' (10 rows)"),
        ([9999, 1, 2, 3], "9999 in 'x' (10 rows)"),
        ([-9, 0, 0, 1], "-9 in 'x' (10 rows)"),
        ([-99, 1, None, 2], "-99 in 'x' (10 rows)"),
        ([99, 80, 60, 40], None),  # a percentage
        ([-999, -500, 20, 900], None),
        ([-998, 1, 2, 3], None),
        ([True, False, True, True], None),
    ],
)
def test_numbers_that_may_mean_missing_are_named(tmp_path, values, sentinel):
    table = polars.DataFrame({"x": values * 10, "y": ["a", "b", "c", "d"] * 10})
    lines = [line for line in lines_about(tmp_path, table, "y") if line.startswith("Used as a number")]
    assert [sentinel in line for line in lines] == [True] * (sentinel is not None)
    if sentinel:
        (other,) = {str(each) for each in values} & {"-999.0", "9999", "-9", "-99"}
        assert not any("Used as" in line for line in lines_about(tmp_path, table, "y", missing=[other]))


def test_a_target_may_hold_a_number_that_means_missing(tmp_path):
    table = polars.DataFrame({"x": range(40), "y": [-999.0, *(number / 7 for number in range(39))]})
    assert any("-999 in 'y' (1 row)" in line for line in lines_about(tmp_path, table, "y"))


def test_classes_of_one_row_are_named(tmp_path):
    labels = ["a", "b"] * 20
    table = polars.DataFrame({"x": range(40), "y": [*labels[:-2], "rare", "odd"]})
    assert "Not in the score, since training needs their only row: 'odd', 'rare'." in lines_about(tmp_path, table, "y")
    assert not any("Not in" in line for line in lines_about(tmp_path, table.with_columns(y=polars.Series(labels)), "y"))


@pytest.mark.parametrize(("decimal", "cell"), [(".", "0,13"), (",", "0.13")])
def test_another_decimal_mark_than_the_given_one_is_told(tmp_path, decimal, cell):
    table = polars.DataFrame({"x": [cell, f"{cell}5", "7"] * 10, "y": ["a", "b", "c"] * 10})
    line = f"Numbers with another decimal mark than --decimal says, read as shown: 'x' ({cell!r} is 0.13)."
    assert line in lines_about(tmp_path, table, "y", decimal=decimal)
    assert line not in lines_about(tmp_path, table, "y", decimal=cell[1])


def test_a_network_that_is_worse_than_the_mean_is_told(tmp_path, capsys):
    noise = prices().with_columns(price=np.random.default_rng(0).normal(size=80))
    assert train(tmp_path, noise, "price", "--epochs", "1", "--learning-rate", "1", "--quiet") == 0
    printed = capsys.readouterr().out
    assert "R2 -" in printed and printed.endswith("would be better: the network has not learned the target.\n")


def test_training_stops_early_without_improvement(tmp_path, capsys):
    noise = prices().with_columns(price=np.random.default_rng(0).normal(size=80))
    assert train(tmp_path, noise, "price", "--members", "1") == 0
    ended = re.search(
        r"Stopped after epoch (\d+), since .* 30 epochs; the model has the weights of epoch (\d+), the best",
        capsys.readouterr().out,
    )
    assert ended and int(ended[1]) == int(ended[2]) + 30
    assert train(tmp_path, noise, "price", "--members", "3") == 0
    ended = re.search(
        r"Stopped after epochs (\d+) to (\d+), since no loss has improved for 30 epochs; ", capsys.readouterr().out
    )
    assert ended and 31 <= int(ended[1]) < int(ended[2]) < 500


def test_quiet_prints_only_the_score(tmp_path, capsys):
    picture = tmp_path / "a$b$.svg"
    table = flowers().rename({"species": "sp$\\frac$\n\u82b1"})
    assert train(tmp_path, table, "sp$\\frac$\n\u82b1", "--quiet", "--picture", str(picture)) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Accuracy ") and printed.out.count("\n") == 1 and printed.err == ""
    assert b"<svg" in picture.read_bytes() and not (tmp_path / "model.png").exists()


@pytest.mark.parametrize("backend", ["torch", "strict"])
def test_backends_agree(tmp_path, backend, capsys):
    if reason := why_unusable(backend):
        pytest.skip(reason)
    message = []
    for chosen in ("numpy", backend):
        assert train(tmp_path, flowers(), "species", "--backend", chosen, "--epochs", "5", "--quiet") == 0
        assert predict(tmp_path, flowers(), "--backend", chosen) == 0
        message.append((capsys.readouterr().out, polars.read_csv(tmp_path / "out.csv").drop("species").to_numpy()))
    assert message[0][0] == message[1][0]
    np.testing.assert_allclose(message[0][1], message[1][1], atol=1e-4)


@pytest.mark.parametrize("target", ["whole", "truth", "half"])
def test_predicted_labels_keep_their_dtype(tmp_path, target):
    rows = np.arange(40) % 2
    table = polars.DataFrame({"x": rows + 0.5, "whole": 3 * rows, "truth": rows == 1, "half": rows + 0.5})
    table = table.select("x", target)
    assert train(tmp_path, table, target, "--task", "classification", "--quiet") == 0
    assert predict(tmp_path, table.drop(target)) == 0
    predicted = polars.read_csv(tmp_path / "out.csv")
    assert predicted[target].dtype == table[target].dtype and predicted[target].to_list() == table[target].to_list()


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (None, ["--target", "specie"], "did you mean 'species'?"),
        (None, ["--ignore", "colour"], "did you mean 'color'?"),
        (None, ["--ignore", "species"], "is the target and cannot be ignored"),
        (None, ["--ignore", "color,length", "--ignore", "fresh"], "no column to learn from besides the target"),
        (None, ["--backend", "nunpy"], "unknown backend 'nunpy'"),
        (None, ["--learning-rate", "1e30"], "the losses of all 2 networks became infinite or NaN, and nothing is written"),
        (None, ["--learning-rate", "1e30", "--members", "1"], "training stopped in epoch 1"),
        (None, ["--held-out", "0.999"], "cannot be split"),
        (lambda table: table.head(9), [], "has 9 rows with a value of 'species', but training needs at least 10"),
        (lambda table: table.with_columns(name=polars.Series(map(str, range(60))) + "n"), [], "too many different texts"),
        (
            lambda table: table.select("species", length=1, empty=None),
            [],
            "'length', 'empty' have one value, or none, in all",
        ),
        (lambda table: table.with_columns(species=None), [], "0 rows with a value of 'species'"),
        (
            lambda table: table.with_columns(day=polars.Series([date(2024, 1, 1), date(2024, 1, 2)] * 30)),
            [],
            "'day' (Date)",
        ),
        (lambda table: table.select("species"), [], "no column to learn from besides the target"),
    ],
)
def test_failed_training_leaves_existing_files_alone(tmp_path, capsys, change, more, message):
    kept = {name: f"{name} of old".encode() for name in ("model.safetensors", "model.png")}
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    assert train(tmp_path, change(flowers()) if change else flowers(), "species", *more) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("portable-bp: ") and message in error
    assert sorted(os.listdir(tmp_path)) == ["data.csv", *sorted(kept)]
    assert all((tmp_path / name).read_bytes() == content for name, content in kept.items())


@pytest.mark.parametrize(
    ("output", "more", "message"),
    [
        ("data.csv", [], "should end in .safetensors"),
        ("none/model.safetensors", [], "none/model.safetensors cannot be written"),
        ("folder.safetensors", [], "folder.safetensors cannot be written"),
        ("model.safetensors", ["--picture", "data.csv"], "should end in .png or .svg or .pdf"),
        ("model.safetensors", ["--picture", "none/model.png"], "none/model.png cannot be written"),
        ("data.csv/model.safetensors", [], "model.safetensors cannot be written"),
    ],
)
def test_output_that_cannot_be_written_fails_before_training(tmp_path, monkeypatch, capsys, output, more, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bp.Network, "fit", None)
    (tmp_path / "folder.safetensors").mkdir()
    flowers().write_csv("data.csv")
    assert main(["train", "data.csv", "--target", "species", "-o", output, *more]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert sorted(os.listdir(tmp_path)) == ["data.csv", "folder.safetensors"]


def test_recipe_too_long_for_a_model_file_fails_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bp.Network, "fit", None)
    monkeypatch.setattr("portable_bp.storage.named_arrays.MAX_HEADER", 1000)
    assert train(tmp_path, flowers(), "species") == 2
    assert "would have a header of more than 1,000 bytes" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["data.csv"]


WRONG = """--members 0 | --members 1001 | --members 2.5 | --hidden 8,0
| --hidden eight | --held-out 1 | --held-out nan | --epochs 0 | --batch-size 1.5 | --learning-rate -1
| --learning-rate inf | --seed -1 | --activation rellu | --task guessing"""


@pytest.mark.parametrize("wrong", [part.split() for part in WRONG.split("|")], ids=" ".join)
def test_invalid_options_are_refused(tmp_path, capsys, wrong):
    with pytest.raises(SystemExit) as caught:
        train(tmp_path, flowers(), "species", *wrong)
    assert caught.value.code == 2
    assert wrong[1] in capsys.readouterr().err.splitlines()[-1]


def run(tmp_path, *more):
    skip_without_training_packages(*more)
    flowers(300).write_csv(tmp_path / "data.csv")
    command = [sys.executable, "-m", "portable_bp", "train", "data.csv", "--target", "species", "-o", "model.safetensors"]
    return subprocess.Popen([*command, *more], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_ctrl_c_keeps_the_last_finished_epoch(tmp_path):
    # Many epochs without a better validation loss would end it: a small rate gets better for long.
    process = run(tmp_path, "--epochs", "1000000", "--learning-rate", "1e-7")
    seen = ""
    while "loss=" not in seen:
        seen += (read := process.stderr.read(1))
        assert read, seen
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in error
    lines = out.splitlines()
    assert re.fullmatch(r"Interrupted: the model has the weights of epoch \d+, the last one that was finished\.", lines[-3])
    assert lines[-1].startswith("Accuracy ")
    assert sorted(os.listdir(tmp_path)) == ["data.csv", "model.png", "model.safetensors"]
    assert predict(tmp_path, flowers()) == 0


def test_interruption_before_the_first_epoch_writes_nothing(tmp_path, monkeypatch, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(bp.Network, "fit", interrupt)
    assert train(tmp_path, flowers(), "species") == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    monkeypatch.setattr("portable_bp.tables.train.prepare_table", interrupt)
    assert train(tmp_path, flowers(), "species") == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["data.csv"]


def test_missing_packages_are_named_before_training(tmp_path, monkeypatch, capsys):
    real = importlib.import_module
    for package in ("polars", "matplotlib", "tqdm", "safetensors"):

        def absent(name, package=package):
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(name=package)
            return real(name)

        flowers().write_csv(tmp_path / "data.csv")
        with monkeypatch.context() as patched:
            patched.setattr(importlib, "import_module", absent)
            arguments = ["train", str(tmp_path / "data.csv"), "--target", "species", "-o", str(tmp_path / "model.safetensors")]
            assert main(arguments) == 2
        message = f"{package} is needed here and is not installed: pip install 'portable-bp[table]'"
        assert message in capsys.readouterr().err
        assert os.listdir(tmp_path) == ["data.csv"]


def test_optional_packages_are_imported_on_demand():
    script = (
        "import sys, portable_bp, portable_bp.cli; print({'polars', 'matplotlib', 'tqdm', 'safetensors'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"
