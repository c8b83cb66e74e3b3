"""Recipes: fitted to columns as scikit-learn does it, written as JSON, and read back from JSON that may be wrong."""

import json
import math

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import polars
import pytest
from hypothesis import strategies
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import portable_bp as bp
from portable_bp.tables import find_recipe, read_recipe, write_recipe
from portable_bp.tables.columns import CategoryColumn, LeftOut, NumberColumn
from portable_bp.tables.csv import ColumnFormat
from portable_bp.tables.encoding import encode
from portable_bp.tables.fitting import fit_columns
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.table import read_table
from portable_bp.tables.targets import ClassTarget, NumberTarget, fit_target

NUMBERS = strategies.none() | strategies.floats(-1e6, 1e6).filter(lambda number: number == 0 or abs(number) > 1e-6)
WORDS = strategies.none() | strategies.text("abz19 .,;é\"'\n-", max_size=3)
KINDS = {
    "number": NUMBERS,
    "whole": strategies.none() | strategies.integers(-9, 9),
    "boolean": strategies.none() | strategies.booleans(),
}
EXAMPLES = hypothesis.settings(max_examples=40, suppress_health_check=list(hypothesis.HealthCheck))


def series(*values, dtype=None):
    return polars.Series("a", values, dtype=dtype)


def prepare(columns, *new):
    """Return the inputs that columns make of the data of a frame."""
    return encode(columns, polars.DataFrame(*new), "float64").inputs(slice(None))


@strategies.composite
def frames(draw):
    rows = draw(strategies.integers(1, 12))
    kinds = draw(strategies.lists(strategies.sampled_from([*KINDS, "text"]), min_size=2, max_size=5))
    drawn = {
        f"c{place}": draw(strategies.lists(KINDS.get(kind, WORDS), min_size=rows, max_size=rows))
        for place, kind in enumerate(kinds)
    }
    types = {"number": polars.Float64, "whole": polars.Int64, "boolean": polars.Boolean, "text": polars.String}
    return polars.DataFrame(drawn, schema={f"c{place}": types[kind] for place, kind in enumerate(kinds)})


@EXAMPLES
@hypothesis.given(hypothesis.extra.numpy.arrays(float, strategies.integers(2, 30), elements=strategies.integers(-1000, 1000)))
def test_numbers_match_scikit_learn(values):
    columns, left_out = fit_columns(polars.DataFrame(series(*values)))
    if len(set(values)) == 1:
        assert columns == () and left_out == (LeftOut("a", "constant", "number", values[0]),)
        return
    expected = StandardScaler().fit_transform(values[:, None])
    np.testing.assert_allclose(prepare(columns, series(*values)), expected, rtol=1e-12, atol=1e-12)


def test_missing_number_becomes_the_mean():
    columns, left_out = fit_columns(polars.DataFrame(series(1, None, 3)))
    assert columns == (NumberColumn("a", "number", 2.0, 1.0, 1.0, 3.0),) and left_out == ()
    assert prepare(columns, series(None, 4)).tolist() == [[0.0], [2.0]]


@pytest.mark.parametrize("values", [[0.1] * 7, [1e100], [-5e-324, -5e-324], [0.1 + 0.2, 0.3], [1e-300, 3e-300], [7, None], [0]])
def test_constant_column_is_left_out(values):
    learned = fit_columns(polars.DataFrame(series(*values)))
    assert learned == ((), (LeftOut("a", "constant", "number", values[0]),))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([None, None], LeftOut("a", "constant", "missing")),
        ([True, None], LeftOut("a", "constant", "boolean", True)),
        (["x", "x"], LeftOut("a", "constant", "text", "x")),
        ([None, "x", "x"], CategoryColumn("a", (None, "x"))),
        ([1, 1, 4], NumberColumn("a", "number", 2.0, 2**0.5, 1.0, 4.0)),
        ([10**15, 10**15 + 2], NumberColumn("a", "number", 1e15 + 1.0, 1.0, 1e15, 1e15 + 2.0)),
    ],
)
def test_missing_text_is_a_category_but_a_missing_number_is_not_a_value(values, expected):
    """A missing text is a category of its own; a missing number becomes the mean."""
    columns, left_out = fit_columns(polars.DataFrame(series(*values)))
    (learned,) = (*columns, *left_out)
    assert learned == expected


def test_booleans_are_0_and_1():
    columns, _ = fit_columns(polars.DataFrame(series(True, False, None, True, False)))
    assert columns == (NumberColumn("a", "boolean", 0.5, 0.5, 0.0, 1.0),)
    assert prepare(columns, series(True, False, None)).tolist() == [[1.0], [-1.0], [0.0]]


@EXAMPLES
@hypothesis.given(strategies.lists(WORDS, min_size=1, max_size=20), strategies.lists(WORDS, min_size=1, max_size=20))
def test_categories_match_scikit_learn(seen, new):
    columns, _ = fit_columns(polars.DataFrame(series(*seen, dtype=str)))
    if len(set(seen)) == 1:
        assert columns == ()
        return
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(np.array(seen, dtype=object)[:, None])
    theirs = encoder.categories_[0].tolist()
    order = [theirs.index(category) for category in columns[0].categories]
    assert sorted(order) == list(range(len(theirs)))
    assert None not in columns[0].categories[1:]
    prepared = prepare(columns, series(*new, dtype=str))
    np.testing.assert_array_equal(prepared, encoder.transform(np.array(new, dtype=object)[:, None])[:, order])


@EXAMPLES
@hypothesis.given(frames(), strategies.sampled_from(["csv", "parquet"]), strategies.randoms())
def test_predicting_encodes_rows_as_training_did(tmp_path_factory, frame, ending, random):
    folder = tmp_path_factory.mktemp("round")
    path = str(folder / f"data.{ending}")
    getattr(frame, f"write_{ending}")(path)
    table = read_table(path).frame
    columns, left_out = fit_columns(table)
    hypothesis.assume(columns)
    recipe = Recipe(columns, NumberTarget("price", 0.1, 1 / 3), left_out)
    network = bp.Network([recipe.inputs, 1], backend="numpy")
    network.notes["table"] = write_recipe(recipe)
    network.save(folder / "model.safetensors")
    found = find_recipe("model", bp.load(folder / "model.safetensors", "numpy"))
    assert found == recipe

    names = random.sample(table.columns, table.width)
    getattr(frame.select(names), f"write_{ending}")(path)
    other = read_table(path, found.known_formats).frame
    found.check_columns(path, other.select(column.name for column in columns))
    encoded = found.encode(other, "float64")
    assert not found.find_unseen(other, encoded) and not found.find_changed(other) and not found.find_far(other)
    prepared = encoded.inputs(slice(None))
    np.testing.assert_array_equal(prepared, prepare(columns, table))
    assert np.isfinite(prepared).all()
    some = np.arange(table.height)[::-2]
    np.testing.assert_array_equal(encoded.inputs(some), prepared[some])


def test_single_row_is_encoded_as_it_was_among_others():
    table = polars.DataFrame({"a": ["1", "b", None], "n": [1.0, 2.0, None]})
    columns, _ = fit_columns(table)
    np.testing.assert_array_equal(prepare(columns, {"n": [None], "a": [None]}), prepare(columns, table)[2:])


def test_number_too_far_from_the_mean_is_refused():
    with pytest.raises(ValueError, match="column 'a' has -1e\\+31, too far from the mean"):
        prepare([NumberColumn("b", "number", 0.0, 1.0), NumberColumn("a", "number", 0.0, 1.0)], {"a": [1.0, -1e31], "b": 0.0})
    with pytest.raises(ValueError, match="column 'a' has 1e\\+100, too far"):
        prepare([NumberColumn("a", "number", -1e100, 1e-100)], series(1e100))


@pytest.mark.parametrize("classes", [("a", "b"), (-1, 3), (0.5, 1.5), (False, True)])
def test_classes_survive_encoding_decoding_and_json(classes):
    values = series(classes[1], classes[0], classes[1])
    target = fit_target(values, "classification")
    assert target == ClassTarget("a", classes)
    assert [type(label) for label in target.classes] == [type(label) for label in classes]
    restored = target.decode(np.eye(2, dtype=np.float32)[target.encode(values)])
    assert restored["a"] == values.to_list()
    names = [f"a_probability_{str(label).lower() if label in (False, True) else label}" for label in classes]
    assert list(restored) == ["a", *names]
    np.testing.assert_allclose(np.sum([restored[name] for name in names], axis=0), 1.0)
    assert read_recipe(write_recipe(Recipe((NumberColumn("x", "boolean", 0.5, 0.5),), target)), 1, 2).target == target


RECIPE = Recipe(
    (
        NumberColumn("age", "number", 40.0, 12.5),
        NumberColumn("is", "boolean", 0.5, 0.25),
        CategoryColumn("town", (None, "Bonn", "Kiel")),
    ),
    ClassTarget("y", ("no", "yes")),
    (
        LeftOut("id", "ignored"),
        LeftOut("Unnamed: 0", "index"),
        LeftOut("year", "constant", "number", 2020),
        LeftOut("land", "constant", "text", "DE"),
        LeftOut("none", "constant", "missing"),
        LeftOut("day", "constant", "", "2024-01-02"),
        LeftOut("so", "constant", "boolean", False),
    ),
    (ColumnFormat("age", "number", ",", ".", "%", ("?", "none")), ColumnFormat("land", "text", missing=("-",))),
)
REGRESSION = Recipe(
    (NumberColumn("age", "number", 40.0, 12.5, 18.0, 99.0), *RECIPE.columns[1:]), NumberTarget("y", 1e5, 1e4, (0.5, 2.0))
)
JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(strategies.characters(), max_size=3)
    | strategies.sampled_from(
        [10**400, -(10**300), 0, 0.0, 1e-320, "number", "text", "boolean", "whole", "y", "age", "\ud800"]
    ),
    lambda inner: (
        strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.sampled_from(["kind", "name", "mean"]), inner)
    ),
    max_leaves=4,
)


def places(tree, path=()):
    yield path
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*path, key))


def put(tree, path, value):
    if not path:
        return value
    inner = put(tree[path[0]], path[1:], value)
    return {**tree, path[0]: inner} if isinstance(tree, dict) else [*tree[: path[0]], inner, *tree[path[0] + 1 :]]


@hypothesis.settings(EXAMPLES, max_examples=250)
@hypothesis.given(strategies.data())
def test_corrupted_recipe_is_refused_or_harmless(data):
    facts = json.loads(write_recipe(data.draw(strategies.sampled_from([RECIPE, REGRESSION]))))
    outputs = len(facts["target"].get("classes", "1"))
    path = data.draw(strategies.sampled_from(list(places(facts))))
    text = json.dumps(put(facts, path, data.draw(JSON)))
    try:
        recipe = read_recipe(text, 5, outputs)
    except (ValueError, RecursionError) as error:
        hypothesis.event("refused")
        assert len(str(error)) < 300
        str(error).encode()
        return
    hypothesis.event("taken")
    rows = {"number": [None, 1.0], "boolean": [None, True], "text": [None, "Bonn"]}
    try:
        assert prepare(recipe.columns, {column.name: rows[column.kind] for column in recipe.columns}).shape == (2, 5)
    except ValueError as error:
        assert "too far" in str(error)
    cells = {"number": 1e99, "boolean": True, "text": "a\nb", "missing": None, "": "2024-01-02"}
    text = polars.Series("age", ["1", "?", "1.234,5 %"])
    assert all(len(reading.to_numbers(text)) == 3 for reading in recipe.known_formats.values())
    recipe.find_changed(polars.DataFrame({column.name: [cells[column.kind]] for column in recipe.left_out}))
    recipe.find_far(polars.DataFrame({column.name: rows[column.kind] for column in recipe.columns}))
    restored = recipe.target.decode(np.full((2, outputs), 1.0 if outputs > 1 else 3e38, dtype=np.float32))
    assert all(math.isfinite(value) for name in list(restored)[1:] for value in restored[name])
    assert len(polars.DataFrame(restored).write_csv()) > 0


def replaced(*path, by):
    return json.dumps(put(json.loads(write_recipe(RECIPE)), path, by))


INVALID = {
    "not JSON": "{",
    "a list": "[]",
    "nested": "[" * 100_000,
    "many digits": '{"version": ' + "1" * 5000 + "}",
    "another version": replaced("version", by=3),
    "no columns": replaced("columns", by=[]),
    "a column twice": replaced("columns", 1, "name", by="age"),
    "the target as a column": replaced("columns", 1, "name", by="y"),
    "a scale of zero": replaced("columns", 0, "scale", by=0.0),
    "an infinite scale": replaced("columns", 0, "scale", by=math.inf),
    "NaN": replaced("columns", 0, "mean", by=math.nan),
    "text for a number": replaced("columns", 0, "mean", by="40"),
    "a number beyond float64": replaced("columns", 0, "mean", by=10**400),
    "a negative scale": replaced("columns", 0, "scale", by=-1.0),
    "a tiny scale": replaced("columns", 0, "scale", by=1e-310),
    "a mean too large": replaced("columns", 1, "mean", by=1e101),
    "a boolean mean": replaced("columns", 1, "mean", by=True),
    "a scale too large": replaced("columns", 1, "scale", by=1e101),
    "a repeated category": replaced("columns", 2, "categories", by=["a", "a", "b"]),
    "missing last": replaced("columns", 2, "categories", by=["a", "b", None]),
    "categories of lists": replaced("columns", 2, "categories", by=[["a"], ["b"], ["c"]]),
    "a lone surrogate": replaced("columns", 2, "name", by="\ud800"),
    "more inputs": replaced("columns", 2, "categories", by=["a", "b", "c", "d"]),
    "more classes": replaced("target", "classes", by=["a", "b", "c"]),
    "one class": replaced("target", "classes", by=["a"]),
    "classes of two types": replaced("target", "classes", by=["1", 2]),
    "an invalid kind": replaced("columns", 0, "kind", by=["number"]),
    "a boolean among integer classes": replaced("target", "classes", by=[True, 0]),
    "an infinite class": replaced("target", "classes", by=[0.5, math.inf]),
    "repeated classes": replaced("target", "classes", by=["a", "a"]),
    "classes of lists": replaced("target", "classes", by=[["a"], ["b"]]),
    "integers beyond int64": replaced("target", "classes", by=[2**63, 0]),
    "bounds in the wrong order": replaced("columns", 0, "low", by=1.0),
    "one bound": replaced("columns", 1, "high", by=1.0),
    "left_out is not a list": replaced("left_out", by={}),
    "a column left out twice": replaced("left_out", 0, "name", by="year"),
    "the target left out": replaced("left_out", 0, "name", by="y"),
    "an input column left out": replaced("left_out", 0, "name", by="age"),
    "an invalid reason": replaced("left_out", 0, "reason", by="tired"),
    "a constant of another kind": replaced("left_out", 2, "value", by="2020"),
    "an infinite constant": replaced("left_out", 2, "value", by=10**400),
    "a boolean constant for a number": replaced("left_out", 2, "value", by=True),
    "readings is not a list": replaced("readings", by={}),
    "a reading of another column": replaced("readings", 0, "name", by="y"),
    "a reading of another kind": replaced("readings", 0, "kind", by="text"),
    "an invalid decimal mark": replaced("readings", 0, "decimal", by="[0-9]*"),
    "two equal marks": replaced("readings", 0, "thousands", by=","),
    "an invalid thousands separator": replaced("readings", 0, "thousands", by="(" * 1000),
    "an invalid unit": replaced("readings", 0, "unit", by="."),
    "a number as missing-value marker": replaced("readings", 0, "missing", by=[1]),
    "missing is not a list": replaced("readings", 0, "missing", by="NA"),
    "another task": replaced("target", "task", by="regression"),
}


@pytest.mark.parametrize("errors", [[2.0, 1.0], [-1.0], [math.inf], [math.nan], [1], ["1"], [None], [True], {}, None, 1.0])
def test_invalid_errors_of_held_out_rows_are_refused(errors):
    text = json.dumps(put(json.loads(write_recipe(REGRESSION)), ("target", "errors"), errors))
    with pytest.raises(ValueError, match="is not a target|not JSON compliant"):
        read_recipe(text, 5, 1)


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_invalid_recipe_is_refused(tmp_path, text):
    network = bp.Network([5, 2], backend="numpy")
    network.notes["table"] = text
    network.save(tmp_path / "model.safetensors")
    loaded = bp.load(tmp_path / "model.safetensors", "numpy")
    with pytest.raises(bp.ModelFileError, match="^model has an invalid recipe for tables: ") as caught:
        find_recipe("model", loaded)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_valid_recipes_of_all_versions_are_read():
    assert read_recipe(write_recipe(RECIPE), 5, 2) == RECIPE
    # As the first version wrote it, without bounds, what was left out, and how columns are read.
    facts = json.loads(write_recipe(RECIPE))
    columns = [{key: value for key, value in column.items() if key not in ("low", "high")} for column in facts["columns"]]
    old = json.dumps({"version": 1, "columns": columns, "target": facts["target"]})
    assert read_recipe(old, 5, 2) == Recipe(RECIPE.columns, RECIPE.target, (), None)
    assert read_recipe(write_recipe(REGRESSION), 5, 1) == REGRESSION
    facts = json.loads(write_recipe(REGRESSION))
    del facts["target"]["errors"]
    assert read_recipe(json.dumps(facts), 5, 1).target == NumberTarget("y", 1e5, 1e4)
