"""Columns that are left out, since they are an index, ignored or constant, have no effect at all."""

import datetime
import json

import numpy as np
import polars
import pytest

import portable_bp as bp
from portable_bp.tables import find_recipe
from portable_bp.tables.index import find_index, find_row_numbers, name_index
from portable_bp.tables.table import read_table
from tests.support.networks import bits
from tests.support.tables import predict, prices, train
from tests.tables.test_train import prepared

ROWS = 80
COUNT = list(range(ROWS))
# The columns that are added, a part of the line that `train` prints about them, and more arguments.
ADDED = {
    "an index of pandas": ({"__index_level_0__": COUNT[::-1]}, "as an index of the rows", []),
    "an index read back": ({"Unnamed: 0": COUNT, "Unnamed: 0.1": COUNT}, "as an index of the rows", []),
    "levels": ({"Unnamed: 0": [k // 2 for k in COUNT], "Unnamed: 1": ["a", "b"] * 40}, "as an index of the rows", []),
    "an index made a column": ({"index": COUNT, "level_1": [3 * k for k in COUNT]}, "as an index of the rows", []),
    "ignored": (
        {"id": [f"id {k}" for k in COUNT], "day": [datetime.date(2024, 1, 1 + k % 30) for k in COUNT], "c, d": COUNT},
        "as requested: 'id', 'day', 'c, d'.",
        ["--ignore", "id,day", "--ignore", "c, d"],
    ),
    "constant": (
        {"year": 2020, "rate": 0.1, "land": "007", "open": True, "day": datetime.date(2024, 5, 1)},
        "with one value in all training rows: 'day' ('2024-05-01'), 'year' (2020), 'rate' (0.1), 'land' ('007'), "
        "'open' (True).",
        [],
    ),
    "rounded": ({"sum": [0.3, 0.1 + 0.2] * 40}, "with one value in all training rows", []),
    "one value or missing": (
        {"number": [7, None] * 40, "flag": [None, True] * 40},
        "apart from missing ones (fill these to use it, such as with 0): 'number' (7), 'flag' (True).",
        [],
    ),
    "empty": ({"none": None, "nothing": None}, "with no value in any training row: 'none', 'nothing'.", []),
}


def added(table, columns):
    """Return a table with columns added before its own."""
    values = [polars.Series(name, value if isinstance(value, list) else [value] * ROWS) for name, value in columns.items()]
    return polars.DataFrame(values).hstack(table)


def train_parquet(folder, table, *more):
    """Train on a Parquet file of prices, and return the model."""
    assert train(folder, table, "price", "--epochs", "3", *more, ending="parquet") == 0
    return bp.load(folder / "model.safetensors", "numpy")


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The model of prices alone, and what it predicts."""
    folder = tmp_path_factory.mktemp("without")
    model = train_parquet(folder, prices())
    assert predict(folder, prices()) == 0
    return model, polars.read_csv(folder / "out.csv")


@pytest.mark.parametrize(("columns", "message", "more"), ADDED.values(), ids=ADDED)
def test_left_out_columns_do_not_change_the_model_or_predictions(tmp_path, capsys, without, columns, message, more):
    """The weights are equal bit for bit, and so are predictions of tables with and without the columns."""
    model, expected = without
    assert bits(train_parquet(tmp_path, added(prices(), columns), *more)) == bits(model)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Left out")]
    assert len(lines) == 1 and message in lines[0] and all(repr(name) in lines[0] for name in columns)
    some = dict(list(columns.items())[:1])
    for name in ("new.csv", "new.parquet"):
        for table in (prices(), added(prices(), columns), added(prices(), some)):
            assert predict(tmp_path, table, name=name) == 0
            assert polars.read_csv(tmp_path / "out.csv").equals(expected)
    assert predict(tmp_path, prices(), *more) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"year": 2021}, "'year' (such as 2021; 2020 in training)"),
        ({"year": 1e9}, "'year' (such as 1000000000.0; 2020 in training)"),
        ({"year": "then"}, "'year' (such as 'then'; 2020 in training)"),
        ({"land": "7"}, "'land' (such as '7'; '007' in training)"),
        ({"open": False}, "'open' (such as False; True in training)"),
        ({"day": datetime.date(2024, 5, 2)}, "'day' (such as '2024-05-02'; '2024-05-01' in training)"),
        ({"none": 3}, "'none' (such as 3; nothing in training)"),
        ({"none": "x" * 999}, "; nothing in training)"),
        ({"year": [[1, 2]]}, "'year' (such as "),
        ({"year": 2030, "rate": 0.2}, "'year' (such as 2030; 2020 in training), 'rate' (such as 0.2; 0.1 in training)"),
    ],
    ids=str,
)
def test_changed_constant_is_reported_and_has_no_effect(tmp_path_factory, capsys, without, value, message):
    folder = tmp_path_factory.getbasetemp() / "constants"
    columns = ADDED["constant"][0] | {"none": None}
    if not folder.exists():
        folder.mkdir()
        train_parquet(folder, added(prices(), columns))
    capsys.readouterr()
    for name in ("new.csv", "new.parquet"):
        if "csv" in name and isinstance(list(value.values())[0], list):
            continue
        changed = {key: held[0] if isinstance(held, list) else held for key, held in value.items()}
        table = prices().with_columns(polars.Series(key, [held] * ROWS) for key, held in changed.items())
        assert predict(folder, table, name=name) == 0
        assert polars.read_csv(folder / "out.csv").equals(without[1])
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and len(error) < 400 and message in error
        assert error.startswith(
            "portable-bp: columns that were constant in training have other values, which does not affect predictions: "
        )


def test_column_constant_in_the_training_rows_is_left_out(tmp_path, capsys, without):
    """The other rows, which training must not use, have different values."""
    held_out = prepared_prices(tmp_path).held_out["size"].to_list()
    table = prices().with_columns(x=polars.when(polars.col("size").is_in(held_out)).then(5).otherwise(1), y=None)
    table = table.with_columns(y=polars.when(polars.col("size").is_in(held_out)).then(polars.lit("a")))
    assert bits(train_parquet(tmp_path, table)) == bits(without[0])
    assert "with one value in all training rows: 'x' (1).\n" in capsys.readouterr().out


def prepared_prices(tmp_path):
    prices().write_csv(tmp_path / "data.csv")
    return prepared(tmp_path, "price")


def test_nearly_constant_columns_are_inputs(tmp_path, capsys):
    """Values far outside the range of training are reported."""
    table = prices().with_columns(year=polars.Series([2020] * 40 + [2021] * 40), rare=polars.Series([0.0, 1.0] + [0.0] * 78))
    train_parquet(tmp_path, table)
    recipe = find_recipe("", bp.load(tmp_path / "model.safetensors", "numpy"))
    assert [column.name for column in recipe.columns][:3] == ["size", "town", "year"]
    capsys.readouterr()
    assert predict(tmp_path, table.with_columns(year=2023)) == 0
    assert capsys.readouterr().err == ""
    assert predict(tmp_path, table.with_columns(year=polars.Series([2020] * 79 + [10**9]))) == 0
    assert capsys.readouterr().err == (
        "portable-bp: numbers far outside the range of training, for which predictions may be far off: 'year' (such as "
        "1e+09; 2020 to 2021 in training).\n"
    )


def test_new_index_is_left_out_and_reported(tmp_path, capsys, without):
    train_parquet(tmp_path, prices())
    capsys.readouterr()
    assert predict(tmp_path, prices().with_row_index("")) == 0
    assert capsys.readouterr().err == "portable-bp: left out, as an index of the rows: 'Unnamed: 0'.\n"
    # An input of the model is not an index.
    train_parquet(tmp_path, prices().with_columns(index=polars.col("size") / 7))
    capsys.readouterr()
    assert predict(tmp_path, prices().with_columns(index=polars.Series(COUNT))) == 0
    assert "index" not in capsys.readouterr().err


def test_index_written_by_pandas_is_found(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.5, 2.5, 3.5], "b": list("xyz")})
    frames = {
        "plain": (frame, ["Unnamed: 0"]),
        "levels": (frame.set_axis(pandas.MultiIndex.from_tuples([("p", 1), ("p", 2), ("q", 1)])), ["Unnamed: 0", "Unnamed: 1"]),
        "named": (frame.rename_axis("row"), []),
        "made a column": (frame.reset_index(), ["Unnamed: 0", "index"]),
    }
    for written, expected in frames.values():
        path = tmp_path / "data.csv"
        written.to_csv(path)
        assert find_index(str(path), read_table(str(path)).frame) == expected
        again = pandas.read_csv(path)
        again.to_csv(path)
        columns = pandas.read_csv(path).columns.tolist()
        table = read_table(str(path)).frame
        assert sorted(table.columns) == sorted(columns)
        assert set(find_index(str(path), table)) >= {"Unnamed: 0"}
        written.to_csv(path, index=False)
        assert find_index(str(path), read_table(str(path)).frame) == [name for name in expected if name == "index"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"index_columns": ["town", "__index_level_1__"]}, ["town", "__index_level_1__"]),
        ({"index_columns": [{"kind": "range", "name": None, "start": 0, "stop": 2, "step": 1}]}, ["__index_level_1__"]),
        ({"index_columns": "town"}, ["__index_level_1__"]),
        ([], ["__index_level_1__"]),
        ("{", ["__index_level_1__"]),
    ],
    ids=str,
)
def test_index_recorded_in_a_parquet_file_is_found(tmp_path, message, expected):
    frame = polars.DataFrame({"town": ["a", "b"], "__index_level_1__": [5, 5], "x": [1, 2]})
    text = message if isinstance(message, str) else json.dumps(message)
    frame.write_parquet(tmp_path / "data.parquet", metadata={"pandas": text})
    assert find_index(str(tmp_path / "data.parquet"), frame) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["", "a"], ["Unnamed: 0", "a"]),
        (["", "", "a"], ["Unnamed: 0", "Unnamed: 1", "a"]),
        (["", "Unnamed: 0", "a"], ["Unnamed: 0.1", "Unnamed: 0", "a"]),
        (["a", "", "b"], ["a", "", "b"]),
        ([], []),
    ],
)
def test_unnamed_columns_get_the_names_that_pandas_gives(names, expected):
    assert name_index(names) == expected


@pytest.mark.parametrize(
    ("values", "counts", "is_index"),
    [
        ([0, 1, 2, 3], True, True),
        ([2, 1, 4, 3], True, True),
        ([0.0, 1.0, 2.0, 3.0], True, True),
        ([5, 9, 2, 7], False, True),
        ([0, 1, 1, 3], False, False),
        ([0, 0.5, 1, 3], False, False),
        ([0, 1, None, 3], False, False),
        ([-1, 0, 1, 2], False, False),
        (["0", "1", "2", "3"], False, False),
    ],
    ids=str,
)
def test_columns_that_number_the_rows_are_found(values, counts, is_index):
    frame = polars.DataFrame({"index": polars.Series(values, strict=False), "id": polars.Series(values, strict=False)})
    assert find_row_numbers(frame) == (["index", "id"] if counts else [])
    assert find_index("data.csv", frame) == (["index"] if is_index else [])


def test_identifier_that_numbers_the_rows_is_reported(tmp_path, capsys):
    train_parquet(tmp_path, prices().with_columns(id=np.arange(1, ROWS + 1)))
    assert "Used as an input, although it numbers the rows: 'id'; if it is an identifier, leave it out with --ignore 'id'." in (
        capsys.readouterr().out
    )


def test_index_may_be_the_target(tmp_path):
    train_parquet(tmp_path, prices().rename({"price": "Unnamed: 0"}).with_columns(price=polars.col("size")))
    assert train(tmp_path, prices().rename({"price": "Unnamed: 0"}), "Unnamed: 0", "--epochs", "1") == 0


def test_table_of_an_index_and_a_target_is_refused(tmp_path, capsys):
    assert train(tmp_path, prices().select("price").with_row_index("Unnamed: 0"), "price") == 2
    assert "has no column to learn from besides the target 'price' (left out: 'Unnamed: 0')" in capsys.readouterr().err
