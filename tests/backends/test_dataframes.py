"""Data frames and their columns as data of networks, compared with the conversions of the frame's own library."""

import datetime
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends.host import host_array


def network(inputs=2):
    return bp.Network([inputs, 1], seed=0, backend="numpy", dtype="float64")


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


@pytest.fixture
def polars():
    return pytest.importorskip("polars")


TAKEN = {
    "Int64": [1, 2],
    "UInt8": [1, 2],
    "Float64": [1.5, 2.0],
    "Float32": [1.5, 2.0],
    "boolean": [True, False],
    "bool": [True, False],
    "int8": [1, 2],
    "float32": [1.5, 2.0],
    "Sparse[float64]": [0.0, 1.5],
    "Sparse[int64]": [0, 3],
    "category": [3, 1],
}


@pytest.mark.parametrize("dtype", TAKEN)
def test_columns_of_numbers_are_accepted(pandas, dtype, on_target):
    column = pandas.Series(TAKEN[dtype], dtype=dtype, name="own")
    for frame in (
        pandas.DataFrame({"own": column}),
        pandas.DataFrame({"own": column, "other": [0.5, 1.0]}),
        pandas.DataFrame({"own": column, 7: [2, 3], True: [True, False]}),
        pandas.concat([column, column], axis=1),
        pandas.DataFrame({("a", 1): column, ("a", 2): column}),
    ):
        expected = frame.astype("float64").to_numpy()
        on_target.assert_close(on_target.backend().asarray(frame), expected)
    on_target.assert_close(on_target.backend().asarray(column), column.astype("float64").to_numpy())


REFUSED = [
    ("str", ["a", "b"], "text: encode it as numbers"),
    ("string", [None, "b"], "text: encode it as numbers"),
    ("object", ["a", 1], "text"),
    ("category", ["a", "b"], "text"),
    ("object", [1, "a"], "text"),
    ("object", [1.5, datetime.date(2026, 1, 1)], "dates"),
    ("object", [1, 2.5], "numbers as Python objects: convert it to int or float"),
    ("object", [1, None], "missing values: fill them"),
    ("object", [Decimal(1), 2], r"Python objects \(Decimal\)"),
    ("datetime64[ns]", ["2026-01-01", "2026-01-02"], "dates: convert it to numbers, such as days"),
    ("datetime64[ns, UTC]", ["2026-01-01", "2026-01-02"], "dates"),
    ("object", [datetime.date(2026, 1, 1)] * 2, "dates"),
    ("timedelta64[ns]", [1, 2], "durations"),
    ("period[D]", ["2026-01-01", "2026-01-02"], r"Python objects \(Period\)"),
    ("complex128", [1j, 2], "complex numbers"),
    ("Int64", [1, None], "missing values: fill them, or drop their rows"),
    ("Float64", [None, 1.5], "missing values"),
    ("boolean", [True, None], "missing values"),
    ("object", [None, None], "missing values"),
    ("object", [{}, {}], r"Python objects \(dict\)"),
]


@pytest.mark.parametrize(("dtype", "values", "message"), REFUSED, ids=str)
def test_other_columns_are_named_with_their_dtype(pandas, dtype, values, message):
    column = pandas.Series(values, dtype=dtype, name="bad")
    named = rf"column 'bad' \({str(column.dtype).replace('[', '.').replace(']', '.')}\) holds {message}"
    frame = pandas.DataFrame({"good": [1.0, 2.0], "bad": column})
    for call in (network().predict, lambda x: network().loss(x, [1.0, 2.0]), lambda x: network().fit(x, [1.0, 2.0])):
        with pytest.raises(TypeError, match=f"^x cannot be used: {named}"):
            call(frame)
    with pytest.raises(TypeError, match=f"^target cannot be used: {named}"):
        network().fit([[1.0, 2.0], [3.0, 4.0]], column)
    with pytest.raises(TypeError, match=f"^sample_weight cannot be used: {named}"):
        network().fit([[1.0, 2.0], [3.0, 4.0]], [1.0, 2.0], sample_weight=column)


def test_several_columns_and_labels_of_any_kind(pandas):
    frame = pandas.DataFrame([["a", "b", 1.0, "c", "d", "e"]], columns=[7, "x", "x", ("p", 1), None, "z"])
    with pytest.raises(TypeError, match=r"column 7 .*text.*; column 'x' .*; column \('p', 1\) .*; and 2 more columns\.$"):
        network(6).predict(frame)
    twice = pandas.DataFrame([[1.0, "b"]], columns=["x", "x"])
    with pytest.raises(TypeError, match=r"column 'x' \(.*\) holds text"):
        network().predict(twice)
    with pytest.raises(TypeError, match=r"^target cannot be used: it \(.*\) holds text: encode it as numbers\.$"):
        network().loss([[1.0, 2.0]], pandas.Series(["a"]))


def test_numbers_that_the_dtype_cannot_hold_name_their_column(pandas):
    frame = pandas.DataFrame({"small": [0.5], "large": [2**40]})
    with pytest.raises(
        ValueError,
        match=r"column 'large' \(int64\) holds 1,099,511,627,776, and float32 represents",
    ):
        bp.Network([2, 1], backend="numpy").predict(frame)
    np.testing.assert_array_equal(host_array(frame, "float64", "numpy"), [[0.5, 2.0**40]])


def test_nan_is_refused_as_elsewhere(pandas):
    frame = pandas.DataFrame({"a": [1.0, np.nan], "b": [True, False]})
    with pytest.raises(ValueError, match="x holds NaN or infinity"):
        network().predict(frame)


def test_a_frame_of_one_dtype_is_not_copied(pandas):
    frame = pandas.DataFrame(np.arange(6.0).reshape(3, 2), copy=False)
    assert np.shares_memory(host_array(frame, "float64", "numpy"), frame.to_numpy())


def test_frames_without_rows_or_columns(pandas):
    for frame in (pandas.DataFrame(index=[0, 1]), pandas.DataFrame({"a": [], "b": []})):
        with pytest.raises(ValueError, match="x has shape"):
            network().predict(frame)


@pytest.mark.parametrize("dtype", ["Int64", "UInt8", "Float32", "Boolean"])
def test_columns_of_polars(polars, dtype, on_target):
    column = polars.Series("own", [1, 0], dtype=polars.Int64).cast(getattr(polars, dtype))
    frame = polars.DataFrame({"own": column, "other": [0.5, 1.5]})
    on_target.assert_close(on_target.backend().asarray(frame), frame.cast(polars.Float64).to_numpy())
    on_target.assert_close(on_target.backend().asarray(column), column.cast(polars.Float64).to_numpy())
    gaps = frame.with_columns(polars.Series("own", [1, None]).cast(getattr(polars, dtype)))
    with pytest.raises(TypeError, match=rf"column 'own' \({dtype}\) holds missing values"):
        on_target.backend().asarray(gaps)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b"], r"\(String\) holds text"),
        ([datetime.date(2026, 1, 1)] * 2, r"\(Date\) holds dates"),
        ([datetime.timedelta(1)] * 2, r"\(Duration.*\) holds durations"),
        ([[1, 2], [3, 4]], r"\(List\(Int64\)\) holds Python objects"),
        ([None, None], r"\(Null\) holds missing values"),
    ],
    ids=str,
)
def test_other_columns_of_polars_are_named(polars, values, message):
    frame = polars.DataFrame({"good": [1.0, 2.0], "bad": values})
    with pytest.raises(TypeError, match=f"x cannot be used: column 'bad' {message}"):
        network().predict(frame)
    with pytest.raises(TypeError, match=f"target cannot be used: column 'bad' {message}"):
        network().loss([[1.0, 2.0], [3.0, 4.0]], frame["bad"])
    with pytest.raises(TypeError, match=r"it is a lazy frame: convert it with its collect\(\)"):
        network().predict(frame.lazy())


def test_no_library_of_frames_is_imported():
    script = "import sys, portable_bp as bp; bp.Network([1, 1], backend='numpy').predict([[1.0]])"
    script += "; print([name for name in ('pandas', 'polars', 'pyarrow') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"
