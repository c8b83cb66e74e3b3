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
from portable_bp.tables.columns import BooleanColumn, CategoryColumn, Column, NumberColumn, learn_column
from portable_bp.tables.reading import read_frame, take_columns
from portable_bp.tables.recipe import Recipe, learn_columns
from portable_bp.tables.targets import ClassTarget, NumberTarget, learn_target

NUMBERS = strategies.none() | strategies.floats(-1e6, 1e6).filter(lambda number: number == 0 or abs(number) > 1e-6)
WORDS = strategies.none() | strategies.text("abz19 .,;é\"'\n-", max_size=3)
KINDS = {
    "number": NUMBERS,
    "whole": strategies.none() | strategies.integers(-9, 9),
    "boolean": strategies.none() | strategies.booleans(),
}
EXAMPLES = hypothesis.settings(max_examples=40, suppress_health_check=list(hypothesis.HealthCheck))


def numbers(*values):
    return Column("number", np.array(values, dtype=float))


def texts(*values):
    return Column("text", np.array(values, dtype=object))


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
    column = learn_column("a", numbers(*values))
    expected = StandardScaler().fit_transform(values[:, None])
    np.testing.assert_allclose(column.prepare(values), expected, rtol=1e-12, atol=1e-12)


def test_a_missing_number_is_the_mean_and_a_constant_is_nothing():
    column = learn_column("a", numbers(1.0, np.nan, 3.0))
    assert column == NumberColumn("a", 2.0, 1.0)
    assert column.prepare(np.array([np.nan, 4.0])).tolist() == [[0.0], [2.0]]
    for constant in (0.1, 1e300, -5e-324):
        assert learn_column("a", numbers(*[constant] * 7)).prepare(np.array([constant, np.nan])).tolist() == [[0.0], [0.0]]
    assert learn_column("a", numbers(np.nan)) == NumberColumn("a", 0.0, 1.0)


@EXAMPLES
@hypothesis.given(strategies.lists(WORDS, min_size=1, max_size=20), strategies.lists(WORDS, min_size=1, max_size=20))
def test_categories_are_scikit_learns(seen, new):
    column = learn_column("a", texts(*seen))
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(np.array(seen, dtype=object)[:, None])
    theirs = encoder.categories_[0].tolist()
    order = [theirs.index(category) for category in column.categories]
    assert sorted(order) == list(range(len(theirs)))
    prepared = column.prepare(np.array(new, dtype=object))
    np.testing.assert_array_equal(prepared, encoder.transform(np.array(new, dtype=object)[:, None])[:, order])


def test_booleans_are_0_and_1():
    column = learn_column("a", Column("boolean", np.array([1.0, 0.0, np.nan, 1.0, 1.0])))
    assert column == BooleanColumn("a", 0.75)
    assert column.prepare(np.array([1.0, 0.0, np.nan])).tolist() == [[1.0], [0.0], [0.75]]


@EXAMPLES
@hypothesis.given(frames(), strategies.sampled_from(["csv", "parquet"]), strategies.randoms())
def test_what_predicting_prepares_is_what_training_prepared(tmp_path_factory, frame, ending, random):
    folder = tmp_path_factory.mktemp("round")
    path = str(folder / f"data.{ending}")
    getattr(frame, f"write_{ending}")(path)
    read = read_frame(path)
    table = take_columns(path, read, read.columns)
    recipe = Recipe(learn_columns(table), NumberTarget("price", 0.1, 1 / 3))
    network = bp.Network([recipe.inputs, 1], backend="numpy")
    network.notes["table"] = write_recipe(recipe)
    network.save(folder / "model.safetensors")
    found = find_recipe("model", bp.load(folder / "model.safetensors", "numpy"))
    assert found == recipe

    names = random.sample(frame.columns, frame.width)
    getattr(frame.select(names), f"write_{ending}")(path)
    again = read_frame(path, found.text)
    other = take_columns(path, again, again.columns)
    found.refuse(path, other)
    assert not found.find_unseen(other)
    prepared = found.prepare(other)
    np.testing.assert_array_equal(prepared, recipe.prepare(table))
    assert np.isfinite(prepared).all()


def test_a_row_alone_is_prepared_as_it_was_among_others():
    table = {"a": texts("1", "b", None), "n": numbers(1.0, 2.0, np.nan)}
    recipe = Recipe(learn_columns(table), NumberTarget("y", 0.0, 1.0))
    alone = {"n": Column("missing", np.array([np.nan])), "a": Column("missing", np.array([np.nan]))}
    np.testing.assert_array_equal(recipe.prepare(alone), recipe.prepare(table)[2:])


def test_numbers_too_large_are_refused_by_name():
    for values in ([1e308, -1e308], [1.7e308, 1.7e308, 1e300], [-1e260, 1e260]):
        with pytest.raises(ValueError, match="column 'far' holds numbers up to .* too large"):
            learn_column("far", numbers(*values))
    with pytest.raises(ValueError, match="column 'far' holds 1e\\+300, too far from the mean"):
        NumberColumn("far", 0.0, 1.0).prepare(np.array([1.0, 1e300]))
    with pytest.raises(ValueError, match="column 'far' holds -1.7e\\+308, too far"):
        NumberColumn("far", 1e300, 1e-300).prepare(np.array([-1.7e308]))


@pytest.mark.parametrize(
    ("column", "kind", "classes"),
    [
        (texts("b", "a", "b"), "text", ("a", "b")),
        (numbers(3.0, -1.0, 3.0), "whole", (-1, 3)),
        (numbers(0.5, 1.5), "number", (0.5, 1.5)),
        (Column("boolean", np.array([1.0, 0.0])), "boolean", (False, True)),
    ],
)
def test_classes_come_back_as_they_were(column, kind, classes):
    target = learn_target("y", column, "classification")
    assert target == ClassTarget("y", kind, classes)
    assert [type(label) for label in target.classes] == [type(label) for label in classes]
    numbered = target.prepare(column.values)
    restored = target.restore(10.0 * np.eye(2, dtype=np.float32)[numbered])
    assert restored["y"] == column.values.tolist()
    names = [f"y_probability_{str(label).lower() if kind == 'boolean' else label}" for label in classes]
    assert list(restored) == ["y", *names]
    np.testing.assert_allclose(np.sum([restored[name] for name in names], axis=0), 1.0)
    assert read_recipe(write_recipe(Recipe((BooleanColumn("x", 0.5),), target)), 1, 2).target == target


RECIPE = Recipe(
    (NumberColumn("age", 40.0, 12.5), BooleanColumn("is", 0.5), CategoryColumn("town", (None, "Bonn", "Kiel"))),
    ClassTarget("y", "text", ("no", "yes")),
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
    except ValueError as error:
        hypothesis.event("refused")
        assert len(str(error)) < 300
        str(error).encode()
        return
    hypothesis.event("taken")
    text = np.array([None, "Bonn"], dtype=object)
    kinds = {
        column.name: (column.kind, text if column.kind == "text" else np.array([np.nan, 1.0])) for column in recipe.columns
    }
    table = {name: Column(*parts) for name, parts in kinds.items()}
    try:
        assert recipe.prepare(table).shape == (2, 5)
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
    "a true version": replaced("version", by=True),
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
    "a share above 1": replaced("columns", 1, "mean", by=1.5),
    "a category twice": replaced("columns", 2, "categories", by=["a", "a", "b"]),
    "missing last": replaced("columns", 2, "categories", by=["a", "b", None]),
    "categories of lists": replaced("columns", 2, "categories", by=[["a"], ["b"], ["c"]]),
    "half a character": replaced("columns", 2, "name", by="\ud800"),
    "more inputs": replaced("columns", 2, "categories", by=["a", "b", "c", "d"]),
    "more classes": replaced("target", "classes", by=["a", "b", "c"]),
    "one class": replaced("target", "classes", by=["a"]),
    "classes of another kind": replaced("target", "classes", by=[1, 2]),
    "a kind that is none": replaced("target", "kind", by=["text"]),
    "wholes that are booleans": replaced(
        "target", by={"task": "classification", "name": "y", "kind": "whole", "classes": [True, 0]}
    ),
    "wholes too large": replaced("target", by={"task": "classification", "name": "y", "kind": "whole", "classes": [2**60, 0]}),
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
