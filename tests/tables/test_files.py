"""Reading tables from CSV and Parquet files, and checking the names of files."""

import os

import numpy as np
import polars
import pytest

from portable_bp.tables.columns import kind_of
from portable_bp.tables.csv import ColumnFormat
from portable_bp.tables.files import check_output
from portable_bp.tables.options import find_columns
from portable_bp.tables.table import read_table


def read(tmp_path, content, name="data.csv", text=()):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = read_table(str(path), {name: ColumnFormat(name, "text") for name in text})
    return table.select(table.frame.columns)


def test_kinds_are_inferred_from_the_whole_file(tmp_path):
    many = "\n".join(["1,true,a,"] * 2000)
    frame = read(tmp_path, f"a,b,c,d\n{many}\n2.5,FALSE,,\n,,NA,\n")
    assert list(map(kind_of, frame.dtypes)) == ["number", "boolean", "text", "missing"]
    assert frame["a"][-2:].to_list() == [2.5, None]
    assert frame["c"][-2:].to_list() == [None, "NA"]
    assert kind_of(read(tmp_path, "a,b\n1,true\n2,no\n3,\n")["b"].dtype) == "text"


@pytest.mark.parametrize(
    "content",
    [
        "a;b\n1,5;x\n-2,25;y\n",
        "a;b\n1.5;x, y\n-2.25;y\n",
        "a\tb\n1.5\tx\n-2.25\ty\n",
        "a|b\n1.5|x\n-2.25|y\n",
        '"a" ,  b\n 1.5, x\n -2.25, y\n',
        "\ufeffa,b\r\n1.5,x\r\n-2.25,y\r\n",
    ],
)
def test_separator_is_detected(tmp_path, content):
    frame = read(tmp_path, content)
    assert frame["a"].to_list() == [1.5, -2.25]
    assert frame["b"].to_list() in (["x", "y"], ["x, y", "y"])


def test_thousands_commas_are_not_decimal_marks(tmp_path):
    assert read(tmp_path, "a\tb\n1,234\tx\n2\ty\n", "data.tsv")["a"].to_list() == [1234, 2]
    assert read(tmp_path, 'a,b\n"1,234",x\n2,y\n')["a"].to_list() == [1234, 2]


def test_column_name_may_contain_another_separator(tmp_path):
    assert read(tmp_path, "a, b\tc\n1\t2\n", "data.tsv").columns == ["a, b", "c"]
    assert read(tmp_path, '"a;b",c\n1,2\n').columns == ["a;b", "c"]
    assert read(tmp_path, '"a\nb",c\n1,2\n').columns == ["a\nb", "c"]


def test_parquet_types_are_kept(tmp_path):
    frame = polars.DataFrame(
        {
            "whole": polars.Series([1, None, 3], dtype=polars.UInt8),
            "small": polars.Series([1.5, float("nan"), 2.5], dtype=polars.Float32),
            "exact": polars.Series(["1.10", "2.20", None]).cast(polars.Decimal(10, 2)),
            "kind": polars.Series(["a", "b", None], dtype=polars.Categorical),
            "of": polars.Series(["a", "b", None], dtype=polars.Enum(["a", "b"])),
            "is": [True, None, False],
            "no": polars.Series([None, None, None], dtype=polars.List(int)),
            "nan": [float("nan")] * 3,
        }
    )
    frame.write_parquet(tmp_path / "data.parquet")
    columns = read(tmp_path, (tmp_path / "data.parquet").read_bytes(), "data.parquet")
    assert list(map(kind_of, columns.dtypes)) == ["number"] * 3 + ["text", "text", "boolean", "missing", "missing"]
    assert columns["small"].to_list() == [1.5, None, 2.5] and columns["exact"].to_list() == [1.1, 2.2, None]
    assert columns["kind"].to_list() == columns["of"].to_list() == ["a", "b", None]


def test_known_text_columns_stay_text(tmp_path):
    assert read(tmp_path, "a, b\n1,007\n3, 4\n", text={"b"})["b"].to_list() == ["007", "4"]
    assert read(tmp_path, "a, b\n1,007\n3,2024-01-02\n", text={"b"})["b"].to_list() == ["007", "2024-01-02"]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "data.csv", "is empty: give a table whose first line names its columns"),
        (b"\n\n  \n", "data.csv", "is empty"),
        (b"a,b\n1,\x00\n", "data.csv", "has a NUL character in line 2"),
        ("a,b\n\u00e91,\u00e92\n".encode() + b"1,\xe9\n", "data.csv", "is not valid UTF-8 from line 3 on"),
        (b"\xff\xfea\x00,\x00b", "data.csv", "is not valid UTF-16-LE from line 1 on"),
        (b"a,b\n1,2\n\n1,2,3\n", "data.csv", "has 3 fields in line 4, but its header names 2 columns"),
        (b"a,b\n", "data.csv", "has column names but no rows"),
        (b"a,b, a\n1,2,3\n", "data.csv", "more than one column called 'a'"),
        (b"a,,b\n1,2,3\n", "data.csv", "no name for column 2 of 3"),
        (b"a,b\n1,2,3\n4,5\n", "data.csv", "has 3 fields in line 2"),
        (b'a,b\n"1,2\n3,4\n', "data.csv", "has an unclosed quote in line 2"),
        (b'"' + b"a" * 2**18 + b'",b\n1,2\n', "data.csv", "cannot be read as CSV: field larger than"),
        (b"hello", "data.parquet", "cannot be read as a .parquet table"),
        (b"", "data.parquet", "cannot be read as a .parquet table"),
        (b"a,b\n1,2\n", "data.xlsx", "should end in .csv or .tsv or .parquet"),
        (b"a,b\n1,2\n", "data", "should end in .csv or .tsv or .parquet"),
        (b"a,b\n1,inf\n2,3\n", "data.csv", "has infinity, or numbers beyond 1e+100, in 'b'"),
        (b"a,b\n1,-1e101\n2,3\n", "data.csv", "has infinity, or numbers beyond 1e+100, in 'b'"),
        (b"a,b,c\n1,2024-01-02,2024-01-02T12:30:00\n2,,2024-01-03 12:31\n", "data.csv", "'b' (Date), 'c' (Date); leave them"),
    ],
)
def test_invalid_table_is_refused(tmp_path, content, name, message):
    with pytest.raises(ValueError) as caught:
        read(tmp_path, content, name)
    assert message in str(caught.value) and str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_all_unusable_columns_are_named_in_one_error(tmp_path):
    frame = polars.DataFrame({"a": [1, 2], "b": [[1], [2]], "c": [{"d": 1}, {"d": 2}], "e": [b"f", b"g"]})
    frame.write_parquet(tmp_path / "data.parquet")
    with pytest.raises(ValueError, match="'b' .*'c' .*'e' .*--ignore 'b,c,e'"):
        read(tmp_path, (tmp_path / "data.parquet").read_bytes(), "data.parquet")


def test_integers_beyond_int64_become_floats(tmp_path):
    polars.DataFrame({"a": [1], "id": np.array([2**64 - 1], dtype=np.uint64)}).write_parquet(tmp_path / "data.parquet")
    assert read_table(str(tmp_path / "data.parquet")).frame.rows() == [(1, 2.0**64)]
    assert read(tmp_path, f"a\n1\n{10**25}\n")["a"].to_list() == [1.0, 1e25]


def test_ignored_column_may_have_a_comma_in_its_name():
    assert find_columns("--ignore", ["a, c", "b,c"], ["a", "b,c", "c", "d"]) == {"a", "c", "b,c"}
    with pytest.raises(ValueError, match="did you mean 'town'"):
        find_columns("--ignore", ["size,twon"], ["size", "town"])


def test_missing_file_raises_an_os_error(tmp_path):
    for name in ("data.csv", "data.parquet", "data[1].csv", "*.parquet"):
        with pytest.raises(FileNotFoundError):
            read_table(str(tmp_path / name))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError if os.name != "nt" else PermissionError):
        read_table(str(tmp_path / "folder.csv"))


def test_file_name_is_not_a_glob_pattern(tmp_path):
    (tmp_path / "data1.csv").write_text("x,y\n1,2\n")
    assert read(tmp_path, "a,b\n1,2\n", "data[1].csv").columns == ["a", "b"]


def test_output_in_a_read_only_folder_is_refused(tmp_path, monkeypatch):
    check_output(str(tmp_path / "out.csv"), [".csv"], [])
    monkeypatch.setattr(os, "access", lambda folder, mode: False)
    with pytest.raises(ValueError, match="out.csv cannot be written: "):
        check_output(str(tmp_path / "out.csv"), [".csv"], [])
