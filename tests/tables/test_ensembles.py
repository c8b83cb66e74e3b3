"""Models of tables with several members: the mean that they predict, and intervals."""

import dataclasses
import math

import numpy as np
import polars
import pytest

import portable_bp as bp
from portable_bp.cli import main
from portable_bp.tables import TrainingOptions, find_recipe, load_model, write_recipe
from portable_bp.tables.prepare import prepare_table
from portable_bp.tables.targets import MAX_ERRORS, NumberTarget
from tests.support.tables import flowers, predict, prices, skip_without_training_packages, train


def noisy(rows, seed=0):
    """Return a table whose target is a number and noise that is not normally distributed."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(-1.0, 1.0, rows)
    return polars.DataFrame({"x": x, "y": 100.0 * np.sin(3.0 * x) + 10.0 * generator.standard_exponential(rows)})


def predicted(folder):
    return polars.read_csv(folder / "out.csv")


@pytest.mark.parametrize(("table", "target"), [(flowers(), "species"), (prices(), "price")])
def test_the_mean_of_the_members_is_predicted(tmp_path, table, target):
    assert train(tmp_path, table, target, "--members", "3", "--epochs", "4", "--quiet") == 0
    assert predict(tmp_path, table.drop(target)) == 0
    network, recipe = load_model(str(tmp_path / "model.safetensors"), "numpy")
    x = recipe.encode(table, "float32").inputs(slice(None))
    outputs = np.mean([network.member(k).predict(x).astype(float) for k in range(3)], axis=0)
    assert np.ptp(network.predict(x), axis=0).max() > 0.01
    if target == "price":
        np.testing.assert_allclose(predicted(tmp_path)["price"], outputs[:, 0] * recipe.target.scale + recipe.target.mean)
    else:
        np.testing.assert_allclose(predicted(tmp_path).drop(target).to_numpy(), outputs, rtol=1e-6)
        labels = np.array(recipe.target.classes)[outputs.argmax(axis=-1)]
        assert predicted(tmp_path)[target].to_list() == labels.tolist()


def test_eight_members_by_default_and_one_on_request(tmp_path):
    skip_without_training_packages("--quiet")
    flowers().write_csv(tmp_path / "data.csv")
    model = str(tmp_path / "model.safetensors")
    command = ["train", str(tmp_path / "data.csv"), "--target", "species", "-o", model, "--epochs", "1", "--quiet"]
    for more, members in ([], 8), (["--members", "1"], None):
        assert main([*command, *more]) == 0
        assert bp.load(model, "numpy").population == members


def test_an_interval_is_the_quantile_of_the_held_out_errors(tmp_path, capsys):
    table = noisy(300)
    assert train(tmp_path, table, "y", "--epochs", "40", "--quiet") == 0
    network, recipe = load_model(str(tmp_path / "model.safetensors"), "numpy")
    capsys.readouterr()
    errors = np.array(recipe.target.errors)
    assert len(errors) == 60
    for coverage, rank in ((0.5, 31), (0.9, 55), (60 / 61, 60), (0.001, 1), (1e-12, 1)):
        assert predict(tmp_path, noisy(5000, seed=1), "--interval", str(coverage)) == 0
        out = predicted(tmp_path)
        assert out.columns == ["y", "y_low", "y_high"]
        for limit in (out["y"] - out["y_low"], out["y_high"] - out["y"]):
            np.testing.assert_allclose(limit, errors[rank - 1])
        assert capsys.readouterr().err.startswith(f"portable-bp: interval: 'y' plus or minus {errors[rank - 1]:.4g}, for rows")
        if coverage == 0.9:
            inside = ((noisy(5000, seed=1)["y"] >= out["y_low"]) & (noisy(5000, seed=1)["y"] <= out["y_high"])).mean()
            assert 0.8 < inside < 0.97
    held_out = prepare_table(TrainingOptions(str(tmp_path / "data.csv"), "y", "", ""), lambda line: None).held_out
    assert predict(tmp_path, held_out) == 0
    np.testing.assert_allclose(np.sort(np.abs(predicted(tmp_path)["y"] - held_out["y"])), errors, rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 17, MAX_ERRORS - 1, MAX_ERRORS, MAX_ERRORS + 1, 3 * MAX_ERRORS + 7, 100_000])
def test_some_of_many_errors_give_intervals_that_are_hardly_wider(rows):
    errors = np.random.default_rng(rows).standard_exponential(rows)
    target = NumberTarget("y", 0.0, 1.0).calibrated(errors[::-1, None], polars.Series(np.zeros(rows)))
    kept = len(target.errors)
    assert kept == min(rows, MAX_ERRORS) and set(target.errors) <= set(errors)
    for coverage in (0.1, 0.5, 0.9, 0.95, 0.99, 0.995):
        rank = math.ceil(coverage * (rows + 1) - 1e-9)
        if rank > rows:
            continue
        exact, above = np.sort(errors)[[rank - 1, min(rows, rank + math.ceil(rows / kept)) - 1]]
        assert exact <= target.half_width(coverage) <= (exact if rows == kept else above)


def test_infinite_predictions_of_held_out_rows_can_be_written():
    target = NumberTarget("y", 0.0, 1.0).calibrated(np.array([[np.inf], [1.0], [np.nan]]), polars.Series([0.0, 0.0, 0.0]))
    assert target.errors == (1.0, np.finfo(float).max, np.finfo(float).max)


def test_intervals_that_a_model_cannot_give_are_refused(tmp_path, capsys):
    model = tmp_path / "model.safetensors"
    (tmp_path / "out.csv").write_text("of old")

    def refused(share):
        assert predict(tmp_path, noisy(5), "--interval", share) == 2
        assert (tmp_path / "out.csv").read_text() == "of old"
        return capsys.readouterr().err

    assert train(tmp_path, noisy(45), "y", "--epochs", "1", "--quiet") == 0
    capsys.readouterr()
    assert refused("0.91") == (
        "portable-bp: --interval 0.91 needs the errors of 11 held-out rows, and the model keeps 9: give at most 0.9, "
        "or train with a larger --held-out.\n"
    )
    network = bp.load(model, "numpy")
    recipe = find_recipe("", network)
    network.notes["table"] = write_recipe(dataclasses.replace(recipe, target=NumberTarget("y", 0.0, 1.0)))
    network.save(model)
    assert "keeps no errors of held-out rows" in refused("0.5")
    for share in ("0", "1", "nan", "90", "-0.5", "most"):
        with pytest.raises(SystemExit, match="2"):
            predict(tmp_path, noisy(5), "--interval", share)
    assert train(tmp_path, flowers(), "species", "--epochs", "1", "--quiet") == 0
    capsys.readouterr()
    assert "predicts classes of 'species', which have a probability each and no interval" in refused("0.5")


def test_networks_of_older_models_have_nets_as_outputs(tmp_path):
    assert train(tmp_path, flowers(), "species", "--members", "1", "--epochs", "3", "--quiet") == 0
    assert predict(tmp_path, flowers()) == 0
    expected = predicted(tmp_path)
    older = bp.load(tmp_path / "model.safetensors", "numpy", output_activation="identity")
    older.notes = bp.load(tmp_path / "model.safetensors", "numpy").notes
    for scale in (1.0, 1e37):
        layers = [(layer.weight, layer.bias) for layer in older.layers[:-1]]
        layers.append((older.layers[-1].weight * np.float32(scale), older.layers[-1].bias))
        network = bp.Network.from_weights(*zip(*layers, strict=True), older.activations, backend="numpy")
        network.notes = older.notes
        network.save(tmp_path / "model.safetensors")
        assert predict(tmp_path, flowers()) == 0
        if scale == 1.0:
            np.testing.assert_allclose(predicted(tmp_path).drop("species").to_numpy(), expected.drop("species").to_numpy())
        np.testing.assert_allclose(predicted(tmp_path).drop("species").sum_horizontal(), 1.0)


def test_members_that_diverged_are_left_out(tmp_path, monkeypatch, capsys):
    fit = bp.Network.fit

    def fit_and_diverge(network, *arguments, **options):
        fit(network, *arguments, **options)
        network.history.diverged[1] = True
        network.layers[0].weight[1] = 1e30

    monkeypatch.setattr(bp.Network, "fit", fit_and_diverge)
    assert train(tmp_path, flowers(), "species", "--members", "3", "--epochs", "2", "--backend", "numpy") == 0
    assert "Left out, since their losses became infinite or NaN: 1 of 3 networks." in capsys.readouterr().out
    network = bp.load(tmp_path / "model.safetensors", "numpy")
    assert network.population == 2 and abs(network.layers[0].weight).max() < 1e3
    assert predict(tmp_path, flowers()) == 0
    assert train(tmp_path, flowers(), "species", "--members", "2", "--epochs", "2", "--backend", "numpy") == 0
    assert bp.load(tmp_path / "model.safetensors", "numpy").population is None


def test_other_commands_take_the_first_network(tmp_path, capsys):
    assert train(tmp_path, flowers(), "species", "--members", "3", "--epochs", "1", "--quiet") == 0
    model = str(tmp_path / "model.safetensors")
    capsys.readouterr()
    for command in (["check-gradient", model], ["explain", "--model", model, "--target", "0,1,0"]):
        assert main(command) == 0
        printed = capsys.readouterr()
        assert printed.err.startswith(f"portable-bp: {model} has 3 networks: using the first one.\n") and printed.out
    bp.load(model, "numpy").member(0).save(tmp_path / "first.safetensors")
    found = []
    for path in (model, str(tmp_path / "first.safetensors")):
        assert main(["check-gradient", path]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["run_network", "plot_losses"])
def test_interruption_after_training_keeps_the_model(tmp_path, monkeypatch, capsys, name):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"portable_bp.tables.train.{name}", interrupt)
    assert train(tmp_path, prices(), "price", "--epochs", "2", "--quiet") == 130
    assert (
        f"Interrupted before the score was known; the model is written: {tmp_path / 'model.safetensors'}."
        in capsys.readouterr().out
    )
    assert predict(tmp_path, prices()) == 0
    code = predict(tmp_path, prices(), "--interval", "0.5")
    assert code == (2 if name == "run_network" else 0)
