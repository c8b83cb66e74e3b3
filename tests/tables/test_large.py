"""Tables of many columns, and of text with many categories."""

import json
import subprocess
import sys

import numpy as np
import polars
import pytest
from sklearn.preprocessing import OneHotEncoder

import portable_bp as bp
from portable_bp.tables import encoding, find_recipe, write_recipe
from portable_bp.tables.columns import CategoryColumn
from portable_bp.tables.encoding import encode
from tests.support.tables import predict, prices, skip_without_training_packages, train


def wide(columns, rows=20, name="gene"):
    """Return a table of random numbers, whose last column is the target."""
    numbers = np.random.default_rng(0).normal(size=(rows, columns + 1))
    return polars.DataFrame(numbers, schema=[*(f"{name} {k}" for k in range(columns)), "y"], orient="row")


def train_wide(folder, table, *more):
    return train(folder, table, "y", "--hidden", "3", "--epochs", "1", "--quiet", *more, ending="parquet")


def test_recipe_may_be_longer_than_a_header(tmp_path):
    """The header of a model file is at most 4 MiB, enough for about 32,000 columns with names of usual length."""
    table = wide(6_000, name=700 * "n")
    assert train_wide(tmp_path, table) == 0
    assert len(write_recipe(find_recipe("", bp.load(tmp_path / "model.safetensors", "numpy")))) > 2**22
    network = bp.load(tmp_path / "model.safetensors", "numpy")
    recipe = find_recipe("", network)
    assert [column.name for column in recipe.columns] == table.columns[:-1]
    network.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    assert predict(tmp_path, table.select(reversed(table.columns)), name="new.parquet") == 0
    numbers = table.drop("y").to_numpy()
    mean, scale = (np.array([getattr(column, name) for column in recipe.columns]) for name in ("mean", "scale"))
    expected = recipe.target.decode(np.mean(network.predict((numbers - mean) / scale), axis=0))
    np.testing.assert_allclose(polars.read_csv(tmp_path / "out.csv")["y"], expected["y"], rtol=1e-5)


def test_messages_about_many_columns_stay_short(tmp_path, capsys):
    table = wide(300)
    assert train_wide(tmp_path, table) == 0
    names = table.columns
    few, ignored = table.select("y", *names[200:300]), ["--ignore", ",".join(names[:280])]
    texts = table.with_columns(polars.col(names[:100]).cast(str))
    other = {"lacks": few, "more": wide(400), "kinds": texts, "far": table.with_columns(polars.col(names[:100]) * 1e80)}
    printed = {}
    for name, new in other.items():
        assert predict(tmp_path, new, name="new.parquet") == 2
        printed[name] = capsys.readouterr().err
    constants = table.with_columns(polars.lit(1).alias(name) for name in names[:200])
    for name, new, more in (
        ("unknown", table, ["--ignore", "gnee 1"]),
        ("dates", table.with_columns(polars.Series([[1]] * 20).alias(name) for name in names[:200]), []),
        ("large", table.with_columns(polars.col(names[:200]) * 1e101), []),
        ("texts", polars.concat([texts] * 2).with_columns(polars.col("y") + 1e-3), []),
        ("ignored", table, ["--ignore", ",".join(names[:300])]),
        ("constant", constants.select(names[:200] + ["y"]), []),
    ):
        code = train_wide(tmp_path, new, *more)
        assert code == 2 or name == "texts"
        printed[name] = capsys.readouterr().err
    for name, line in printed.items():
        assert line.count("\n") <= 1 and len(line) < 1500, (name, len(line))
    assert "and 180 more" in printed["lacks"] and "and 281 more" in printed["unknown"]
    assert train(tmp_path, constants, "y", *ignored, "--epochs", "1", ending="parquet") == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 1500
    assert train_wide(tmp_path, constants.with_columns(polars.lit(None).alias(name) for name in names[:9])) == 0
    assert predict(tmp_path, table) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and len(error) < 2500 and "and 180 more" in error


def test_many_columns_with_missing_values_share_lines(tmp_path, capsys):
    table = wide(50, 40)
    table = table.with_columns(polars.col("y").gt(0.5).alias("large"), polars.lit("x").alias("text"))
    holes = table.with_columns(polars.when(polars.col("y") > 0).then(polars.exclude("y")).name.keep())
    assert train(tmp_path, holes, "y", "--epochs", "1") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "Missing in" in line or "missing in" in line]
    count = (table["y"] <= 0).sum()
    start = "Missing in some of 40 rows,"
    assert lines[0].startswith(
        f"{start} replaced by the mean: {table.columns[0]!r} (in {count}), {table.columns[1]!r} (in {count}), "
    )
    assert lines[0].endswith(" and 30 more.")
    assert lines[1:] == [
        f"{start} replaced by the share of true values: 'large' (in {count}).",
        f"{start} treated as a category of its own: 'text' (in {count}).",
    ]


@pytest.mark.parametrize("rows", [3, encoding.MAX_PYTHON_ROWS, encoding.MAX_PYTHON_ROWS + 1])
def test_few_and_many_rows_are_encoded_alike(rows):
    texts = [["red", None, "blue", "green"][row % 4] for row in range(rows)]
    frame = polars.DataFrame({"a": texts, "flag": [row % 2 == 0 for row in range(rows)], "none": [None] * rows})
    known = {"a": (None, "blue", "red"), "flag": ("true",), "none": (None, "x")}
    made = encode([CategoryColumn(name, categories) for name, categories in known.items()], frame, "float32").all_inputs()
    theirs = OneHotEncoder(categories=[list(known["a"][1:]) + [None]], handle_unknown="ignore", sparse_output=False)
    expected = theirs.fit_transform(np.array([texts], object).T)[:, [2, 0, 1]]
    np.testing.assert_array_equal(made[:, :3], expected)
    np.testing.assert_array_equal(made[:, 3:], [[row % 2 == 0, True, False] for row in range(rows)])


def cities(rows=400, categories=40):
    """Return a table with two columns of many categories, and a price that depends on them."""
    generator = np.random.default_rng(0)
    worth, (town, street) = generator.normal(size=categories), generator.integers(0, categories, (2, rows))
    return polars.DataFrame(
        {
            "town": [f"town {k}" for k in town],
            "size": generator.normal(size=rows),
            "street": [None if k == 3 else f"street {k}" for k in street],
            "price": worth[town] + worth[street],
        }
    )


def test_rows_encoded_on_demand_match_scikit_learn():
    table = cities()
    columns = tuple(CategoryColumn(name, tuple(table[name].unique().sort().to_list())) for name in ("street", "town"))
    encoded = encode(columns, table, "float32")
    encoder = OneHotEncoder(categories=[list(column.categories) for column in columns], sparse_output=False)
    expected = encoder.fit_transform(table.select("street", "town").to_numpy())
    rows = np.random.default_rng(1).permutation(table.height)[:50]
    np.testing.assert_array_equal(encoded.inputs(rows), expected[rows])
    assert encoded.inputs(slice(5, 9)).dtype == np.float32
    np.testing.assert_array_equal(encoded.inputs(slice(5, 9)), expected[5:9])


@pytest.mark.parametrize("target", ["price", "size"])
def test_training_on_rows_encoded_on_demand_gives_the_same_model(tmp_path, monkeypatch, capsys, target):
    models = []
    for most in (encoding.MAX_DENSE_INPUTS, 0):
        monkeypatch.setattr(encoding, "MAX_DENSE_INPUTS", most)
        assert train(tmp_path, cities(), target, "--epochs", "5", "--quiet") == 0
        models.append((bp.load(tmp_path / "model.safetensors", "numpy"), capsys.readouterr().out))
    assert models[0][1] == models[1][1]
    for one, other in zip(models[0][0].layers, models[1][0].layers, strict=True):
        np.testing.assert_allclose(one.weight, other.weight, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells how much memory a process took by itself")
def test_many_categories_take_little_memory(tmp_path):
    """The inputs of all 40,000 rows would take 160 MB as float32, and 320 MB as float64."""
    skip_without_training_packages("--quiet")
    generator = np.random.default_rng(0)
    table = polars.DataFrame({name: generator.integers(0, 500, 40_000) for name in "ab"}).with_columns(
        polars.format("{}{}", polars.lit(name), polars.col(name)).alias(name) for name in "ab"
    )
    table.with_columns(y=generator.normal(size=40_000)).write_csv(tmp_path / "data.csv")
    program = """
import json, re
import matplotlib.figure, polars, safetensors
from portable_bp.cli import main
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
before = peak()
model = ["-o", "model.safetensors", "--hidden", "4", "--epochs", "1", "--quiet"]
codes = [main(["train", "data.csv", "--target", "y", *model])]
trained = peak() - before
codes.append(main(["predict", "model.safetensors", "data.csv", "-o", "out.csv"]))
print(json.dumps([codes, trained, peak() - before]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    codes, *megabytes = json.loads(done.stdout.splitlines()[-1])
    assert codes == [0, 0] and max(megabytes) < 150


def test_model_that_cannot_be_saved_fails_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bp.Network, "fit", None)
    monkeypatch.setattr("portable_bp.storage.named_arrays.MAX_HEADER", 1000)
    assert train(tmp_path, prices(), "price") == 2
    assert "would have a header of more than 1,000 bytes" in capsys.readouterr().err
