import numpy as np
import polars
import pytest

from portable_bp.tables.reading import read_frame, take_columns


def read(tmp_path, content, name="data.csv", text=(), lines=None):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    frame = read_frame(str(path), text, (lambda line: None) if lines is None else lines.append)
    return take_columns(str(path), frame, frame.columns)


def test_kinds_are_inferred_from_the_whole_file(tmp_path):
    many = "\n".join(["1,true,a,"] * 2000)
    columns = read(tmp_path, f"a,b,c,d\n{many}\n2.5,FALSE,,\n,,NA,\n")
    assert {name: column.kind for name, column in columns.items()} == {
        "a": "number",
        "b": "boolean",
        "c": "text",
        "d": "missing",
    }
    assert columns["a"].values[2000] == 2.5 and np.isnan(columns["a"].values[2001])
    assert columns["c"].values[-2:].tolist() == [None, None]
    assert read(tmp_path, "a,b\n1,true\n2,no\n3,\n")["b"].kind == "text"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a;b\n1,5;x\n-2,25;y\n", "semicolons"),
        ("a;b\n1.5;x, y\n-2.25;y\n", "semicolons"),
        ("a\tb\n1.5\tx\n-2.25\ty\n", "tabs"),
        ("a|b\n1.5|x\n-2.25|y\n", "vertical bars"),
        ('"a" ,  b\n 1.5, x\n -2.25, y\n', None),
        ("\ufeffa,b\r\n1.5,x\r\n-2.25,y\r\n", None),
    ],
)
def test_separators_are_found_out(tmp_path, content, said):
    lines = []
    columns = read(tmp_path, content, lines=lines)
    assert columns["a"].values.tolist() == [1.5, -2.25]
    assert columns["b"].values.tolist() in (["x", "y"], ["x, y", "y"])
    path = tmp_path / "data.csv"
    expected = [f"{path}: {said} stand between its columns."] if said else []
    assert lines == expected + [f"{path}: commas in 'a' are taken as decimal points."] * ("1,5;" in content)


def test_commas_of_thousands_are_no_decimal_points(tmp_path):
    assert read(tmp_path, "a\tb\n1,234\tx\n2\ty\n", "data.tsv")["a"].kind == "text"
    assert read(tmp_path, 'a,b\n"1,234",x\n2,y\n')["a"].kind == "text"


def test_tsv_and_a_comma_in_a_name(tmp_path):
    assert list(read(tmp_path, "a, b\tc\n1\t2\n", "data.tsv")) == ["a, b", "c"]
    assert list(read(tmp_path, '"a;b",c\n1,2\n')) == ["a;b", "c"]


def test_parquet_has_its_own_types(tmp_path):
    frame = polars.DataFrame(
        {
            "whole": [1, None, 3],
            "small": polars.Series([1.5, float("nan"), 2.5], dtype=polars.Float32),
            "exact": polars.Series(["1.10", "2.20", None]).cast(polars.Decimal(10, 2)),
            "kind": polars.Series(["a", "b", None], dtype=polars.Categorical),
            "is": [True, None, False],
            "no": [None, None, None],
        }
    )
    frame.write_parquet(tmp_path / "data.parquet")
    columns = read(tmp_path, (tmp_path / "data.parquet").read_bytes(), "data.parquet")
    assert [column.kind for column in columns.values()] == ["number", "number", "number", "text", "boolean", "missing"]
    np.testing.assert_array_equal(columns["exact"].values, [1.1, 2.2, np.nan])
    np.testing.assert_array_equal(columns["is"].values, [1.0, np.nan, 0.0])
    assert columns["kind"].missing.tolist() == [False, False, True]


def test_text_stays_text_where_it_should(tmp_path):
    assert read(tmp_path, "a,b\n1,2\n3,4\n", text={"b"})["b"].values.tolist() == ["2", "4"]
    assert read(tmp_path, "a, b\n1,2024-01-02\n3,4\n", text={"b"})["b"].values.tolist() == ["2024-01-02", "4"]


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "data.csv", "is empty"),
        (b"\n\n", "data.csv", "is empty"),
        (b"\n\na,b\n1,2\n", "data.csv", "begins with an empty line"),
        (b"a,b\n", "data.csv", "has the names of columns and no rows"),
        (b"a,b, a\n1,2,3\n", "data.csv", "more than one column called 'a'"),
        (b",b\n1,2\n", "data.csv", "no name for column 1 of 2"),
        (b"a,b\n1,\xe9\n", "data.csv", "is not text in UTF-8"),
        (b"a,b\n" + b"1,2\n" * 2**20 + b"1,\xe9\n", "data.csv", "cannot be read as a .csv table: invalid utf-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "data.csv", "is not text in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "data.csv", "is no text"),
        (b"a,b\n1,2,3\n", "data.csv", "cannot be read as a .csv table"),
        (b'a,b\n"1,2\n3,4\n', "data.csv", "cannot be read as a .csv table"),
        (b"hello", "data.parquet", "cannot be read as a .parquet table"),
        (b"", "data.parquet", "cannot be read as a .parquet table"),
        (b"a,b\n1,2\n", "data.xlsx", "ends in '.xlsx', and a table ends in .csv, .tsv, .parquet"),
        (b"a,b\n1,2\n", "data", "has no ending"),
        (b"a,b\n1,inf\n2,3\n", "data.csv", "has infinity in 'b'"),
        (b"a,b,c\n1,2024-01-02,12:30:00\n2,2024-01-03,12:31:00\n", "data.csv", "'b' (Date), 'c' (Time); leave them out"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, name, said):
    with pytest.raises(ValueError) as caught:
        read(tmp_path, content, name)
    assert said in str(caught.value) and str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_columns_of_lists_are_refused_together(tmp_path):
    frame = polars.DataFrame({"a": [1, 2], "b": [[1], [2]], "c": [{"d": 1}, {"d": 2}], "e": [b"f", b"g"]})
    frame.write_parquet(tmp_path / "data.parquet")
    with pytest.raises(ValueError, match="'b' .*'c' .*'e' .*--ignore 'b', 'c', 'e'"):
        read(tmp_path, (tmp_path / "data.parquet").read_bytes(), "data.parquet")


def test_a_file_that_is_not_there(tmp_path):
    for name in ("data.csv", "data.parquet", "data[1].csv", "*.parquet"):
        with pytest.raises(FileNotFoundError):
            read_frame(str(tmp_path / name))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        read_frame(str(tmp_path / "folder.csv"))


def test_stars_and_brackets_in_a_name_are_taken_as_they_are(tmp_path):
    (tmp_path / "data1.csv").write_text("x,y\n1,2\n")
    assert list(read(tmp_path, "a,b\n1,2\n", "data[1].csv")) == ["a", "b"]
