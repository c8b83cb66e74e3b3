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
from portable_bp.tables.columns import CategoryColumn, NumberColumn, learn_column
from portable_bp.tables.files import read_table
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.targets import ClassTarget, NumberTarget, learn_target

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
def test_numbers_are_scikit_learns(values):
    expected = StandardScaler().fit_transform(values[:, None])
    np.testing.assert_allclose(learn_column(series(*values)).prepare(series(*values)), expected, rtol=1e-12, atol=1e-12)


def test_a_missing_number_is_the_mean_and_a_constant_is_nothing():
    column = learn_column(series(1, None, 3))
    assert column == NumberColumn("a", "number", 2.0, 1.0)
    assert column.prepare(series(None, 4)).tolist() == [[0.0], [2.0]]
    for constant in (0.1, 1e100, -5e-324):
        assert learn_column(series(*[constant] * 7)).prepare(series(constant, None)).tolist() == [[0.0], [0.0]]
    assert learn_column(series(None, dtype=float)) == NumberColumn("a", "number", 0.0, 1.0)
    assert learn_column(series(1e-300, 3e-300)).scale == 1.0


def test_booleans_are_0_and_1():
    column = learn_column(series(True, False, None, True, False))
    assert column == NumberColumn("a", "boolean", 0.5, 0.5)
    assert column.prepare(series(True, False, None)).tolist() == [[1.0], [-1.0], [0.0]]


@EXAMPLES
@hypothesis.given(strategies.lists(WORDS, min_size=1, max_size=20), strategies.lists(WORDS, min_size=1, max_size=20))
def test_categories_are_scikit_learns(seen, new):
    column = learn_column(series(*seen, dtype=str))
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(np.array(seen, dtype=object)[:, None])
    theirs = encoder.categories_[0].tolist()
    order = [theirs.index(category) for category in column.categories]
    assert sorted(order) == list(range(len(theirs)))
    assert None not in column.categories[1:]
    prepared = column.prepare(series(*new, dtype=str))
    np.testing.assert_array_equal(prepared, encoder.transform(np.array(new, dtype=object)[:, None])[:, order])


@EXAMPLES
@hypothesis.given(frames(), strategies.sampled_from(["csv", "parquet"]), strategies.randoms())
def test_what_predicting_prepares_is_what_training_prepared(tmp_path_factory, frame, ending, random):
    folder = tmp_path_factory.mktemp("round")
    path = str(folder / f"data.{ending}")
    getattr(frame, f"write_{ending}")(path)
    table = read_table(path)
    table = table.select(series for series in table if series.dtype != polars.Null)
    hypothesis.assume(table.width)
    recipe = Recipe(tuple(map(learn_column, table)), NumberTarget("price", 0.1, 1 / 3))
    network = bp.Network([recipe.inputs, 1], backend="numpy")
    network.notes["table"] = write_recipe(recipe)
    network.save(folder / "model.safetensors")
    found = find_recipe("model", bp.load(folder / "model.safetensors", "numpy"))
    assert found == recipe

    names = random.sample(table.columns, table.width)
    getattr(frame.select(names), f"write_{ending}")(path)
    other = read_table(path, found.text)
    found.refuse(path, other)
    assert not found.find_unseen(other)
    prepared = found.prepare(other)
    np.testing.assert_array_equal(prepared, recipe.prepare(table))
    assert np.isfinite(prepared).all()


def test_a_row_alone_is_prepared_as_it_was_among_others():
    table = polars.DataFrame({"a": ["1", "b", None], "n": [1.0, 2.0, None]})
    recipe = Recipe(tuple(map(learn_column, table)), NumberTarget("y", 0.0, 1.0))
    alone = polars.DataFrame({"n": [None], "a": [None]})
    np.testing.assert_array_equal(recipe.prepare(alone), recipe.prepare(table)[2:])


def test_numbers_too_far_are_refused_by_name():
    with pytest.raises(ValueError, match="column 'a' holds -1e\\+31, too far from the mean"):
        learn_column(series(-1.0, 1.0)).prepare(series(1.0, -1e31))
    with pytest.raises(ValueError, match="column 'a' holds 1e\\+100, too far"):
        NumberColumn("a", "number", -1e100, 1e-100).prepare(series(1e100))


@pytest.mark.parametrize("classes", [("a", "b"), (-1, 3), (0.5, 1.5), (False, True)])
def test_classes_come_back_as_they_were(classes):
    values = series(classes[1], classes[0], classes[1])
    target = learn_target(values, "classification")
    assert target == ClassTarget("a", classes)
    assert [type(label) for label in target.classes] == [type(label) for label in classes]
    restored = target.restore(10.0 * np.eye(2, dtype=np.float32)[target.prepare(values)])
    assert restored["a"] == values.to_list()
    names = [f"a_probability_{str(label).lower() if label in (False, True) else label}" for label in classes]
    assert list(restored) == ["a", *names]
    np.testing.assert_allclose(np.sum([restored[name] for name in names], axis=0), 1.0)
    assert target.restore(np.array([[3e38, -3e38]], dtype=np.float32))[names[0]] == [1.0]
    assert read_recipe(write_recipe(Recipe((NumberColumn("x", "boolean", 0.5, 0.5),), target)), 1, 2).target == target


RECIPE = Recipe(
    (
        NumberColumn("age", "number", 40.0, 12.5),
        NumberColumn("is", "boolean", 0.5, 0.25),
        CategoryColumn("town", (None, "Bonn", "Kiel")),
    ),
    ClassTarget("y", ("no", "yes")),
)
REGRESSION = Recipe(RECIPE.columns, NumberTarget("y", 1e5, 1e4))
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
def test_a_lying_recipe_is_refused_or_does_no_harm(data):
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
        assert recipe.prepare(polars.DataFrame({column.name: rows[column.kind] for column in recipe.columns})).shape == (2, 5)
    except ValueError as error:
        assert "too far" in str(error)
    restored = recipe.target.restore(np.full((2, outputs), 3e38, dtype=np.float32))
    assert all(math.isfinite(value) for name in list(restored)[1:] for value in restored[name])
    assert len(polars.DataFrame(restored).write_csv()) > 0


def replaced(*path, by):
    return json.dumps(put(json.loads(write_recipe(RECIPE)), path, by))


LIES = {
    "no JSON": "{",
    "a list": "[]",
    "nested": "[" * 100_000,
    "many digits": '{"version": ' + "1" * 5000 + "}",
    "another version": replaced("version", by=2),
    "no columns": replaced("columns", by=[]),
    "a column twice": replaced("columns", 1, "name", by="age"),
    "the target as a column": replaced("columns", 1, "name", by="y"),
    "no scale": replaced("columns", 0, "scale", by=0.0),
    "an infinite scale": replaced("columns", 0, "scale", by=math.inf),
    "NaN": replaced("columns", 0, "mean", by=math.nan),
    "text for a number": replaced("columns", 0, "mean", by="40"),
    "a number beyond float64": replaced("columns", 0, "mean", by=10**400),
    "a scale below": replaced("columns", 0, "scale", by=-1.0),
    "a tiny scale": replaced("columns", 0, "scale", by=1e-310),
    "a mean too large": replaced("columns", 1, "mean", by=1e101),
    "a true mean": replaced("columns", 1, "mean", by=True),
    "a scale too large": replaced("columns", 1, "scale", by=1e101),
    "a category twice": replaced("columns", 2, "categories", by=["a", "a", "b"]),
    "missing last": replaced("columns", 2, "categories", by=["a", "b", None]),
    "categories of lists": replaced("columns", 2, "categories", by=[["a"], ["b"], ["c"]]),
    "half a character": replaced("columns", 2, "name", by="\ud800"),
    "more inputs": replaced("columns", 2, "categories", by=["a", "b", "c", "d"]),
    "more classes": replaced("target", "classes", by=["a", "b", "c"]),
    "one class": replaced("target", "classes", by=["a"]),
    "classes of two kinds": replaced("target", "classes", by=["1", 2]),
    "a kind that is none": replaced("columns", 0, "kind", by=["number"]),
    "a true class among whole ones": replaced("target", "classes", by=[True, 0]),
    "an infinite class": replaced("target", "classes", by=[0.5, math.inf]),
    "classes twice": replaced("target", "classes", by=["a", "a"]),
    "classes of lists": replaced("target", "classes", by=[["a"], ["b"]]),
    "wholes too large": replaced("target", "classes", by=[2**63, 0]),
    "another task": replaced("target", "task", by="regression"),
}


@pytest.mark.parametrize("text", LIES.values(), ids=LIES)
def test_what_cannot_be_true_of_a_recipe_is_said(tmp_path, text):
    network = bp.Network([5, 2], backend="numpy")
    network.notes["table"] = text
    network.save(tmp_path / "model.safetensors")
    loaded = bp.load(tmp_path / "model.safetensors", "numpy")
    with pytest.raises(bp.ModelFileError, match="^model has a recipe of a table that cannot be true: ") as caught:
        find_recipe("model", loaded)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_the_recipe_itself_is_taken():
    assert read_recipe(write_recipe(RECIPE), 5, 2) == RECIPE
    assert read_recipe(write_recipe(REGRESSION), 5, 1) == REGRESSION
