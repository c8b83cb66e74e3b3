"""CSV files: compared with pandas and the csv module, or with values written by hand."""

import csv
import io
import itertools
import re

import hypothesis
import numpy as np
import polars
import pytest
from hypothesis import strategies

from portable_bp.tables.csv.cells import SHORT_COLUMN
from portable_bp.tables.csv.formats import MISSING_MARKERS, ColumnFormat
from portable_bp.tables.index import find_index
from portable_bp.tables.options import CsvOptions
from portable_bp.tables.table import read_table

pandas = pytest.importorskip("pandas")
EXAMPLES = hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=[*hypothesis.HealthCheck])


def read(tmp_path, content, name="data.csv", **more):
    """Return a table, and all that was assumed for it as one text."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = read_table(str(path), **more)
    table.check_readable(table.frame.columns)
    return table.frame, "\n".join([*table.assumptions, *table.describe_assumptions(table.frame.columns)])


def assert_pandas(frame, expected):
    """Check that a frame has the columns, values and missing values of a pandas frame."""
    assert frame.columns == list(expected.columns)
    for name in frame.columns:
        theirs = [None if value is None or value != value else value for value in expected[name].tolist()]
        assert frame[name].to_list() == theirs


FILES = {
    "blank lines": ("a,b\n1,x\n\n \n2,y\n\n\n", {}, "2 blank lines skipped, such as line 3"),
    "a blank first line": ("\n \na,b\n1,x\n", {}, ""),
    "one column": ("a\n1\n\n2\n", {}, "1 blank line skipped, such as line 3"),
    "one column with quotes": ('a\n1\n""\n2\n', {}, ""),
    "blank lines in quotes": ('a,b\n"x\n\ny",1\n\nz,2\n', {}, "1 blank line"),
    "CR": ("a,b\r1,x\r2,y\r", {}, ""),
    "CR LF": ("a,b\r\n1,x\r\n2,y\r\n", {}, ""),
    "mixed ends": ("a,b\r\n1,x\r2,y\n3,z", {}, ""),
    "a quote in a field": ('a,b\n5" pipe,x\n2,7"\n', {}, ""),
    "text after a quote": ('a,b\n"5"x,y\n2,z\n', {}, ""),
    "doubled quotes": ('a,b\n"say ""no""",1\n"""",2\n', {}, ""),
    "too few fields": ("a,b,c\n1,2,3\n4\n5,6\n", {}, "2 lines with too few fields, such as line 3"),
    "separators alone": ("a,b\n1,2\n,\n", {}, "1 row without any value"),
    "latin-1": ("a,b\n1,caf\u00e9\n".encode("latin-1"), {"encoding": "latin-1"}, "not UTF-8 (see line 2), and was read as"),
    "Windows-1252": ("a,b\n1,5\u20ac\n2,x\n".encode("cp1252"), {"encoding": "cp1252"}, "was read as Windows-1252"),
    "not Windows-1252": (b"a,b\n1,\x81\n", {"encoding": "latin-1"}, "was read as Latin-1"),
    "UTF-8 with a mark": ("\ufeffa,b\n1,\u00e9\n".encode(), {}, ""),
    "UTF-16": ("a,b\n1,\u00e9\n".encode("utf-16"), {"encoding": "utf-16"}, ""),
    "UTF-16 BE": ("\ufeffa;b\r\n1;\u00e9\r\n".encode("utf-16-be"), {"encoding": "utf-16", "sep": ";"}, ""),
    "UTF-16 without a mark": ("a,b\n1,x\n".encode("utf-16-le"), {"encoding": "utf-16-le"}, ""),
    "sep=": ("sep=;\na;b\n1;x\n", {"sep": ";", "skiprows": 1}, ""),
    "sep=, in quotes": ('"sep=,"\r\na,b\r\n1,x\r\n', {"skiprows": 1}, ""),
    "sep= of another kind": ("SEP=^\na^b\n1^x\n", {"sep": "^", "skiprows": 1}, ""),
    "trailing commas": ("a,b,\n1,x,\n2,y,\n", {"usecols": ["a", "b"]}, ""),
    "trailing commas of data": ("a,b\n1,x,\n2,y,\n", {"index_col": False}, ""),
    "commas in a name": ("size, m;price, EUR\n1,5;2,5\n", {"sep": ";", "decimal": ","}, "decimal comma"),
    "semicolons in a text": ('a,b\n"x;y",1\n"z;u;v",2\n', {}, ""),
    "Ctrl-Z": ("a,b\r\n1,x\r\n\x1a", {"nrows": 1}, ""),
}


@pytest.mark.parametrize(("content", "options", "message"), FILES.values(), ids=FILES)
def test_files_are_read_as_pandas_reads_them(tmp_path, content, options, message):
    frame, assumptions = read(tmp_path, content)
    raw = content if isinstance(content, bytes) else content.encode()
    assert_pandas(frame, pandas.read_csv(io.BytesIO(raw), **{"keep_default_na": False, "na_values": [""]} | options))
    assert (message in assumptions) if message else not assumptions


# A file, the values of its column a, and a part of what was assumed.
COLUMNS = {
    "decimal commas": ("a;b\n1.234;x\n999,9;y\n", [1234.0, 999.9], "'1.234' is 1234"),
    "groups of three": ("a;b\n1,234;x\n12,500;y\n", [1234, 12500], "'1,234' is 1234"),
    "in two ways": ("a;b\n1.234;2.345\n", [1.234], "Ambiguous"),
    "another column with commas": ("a;b\n1.234;2,5\n", [1234], "Ambiguous"),
    "another column with points": ("a;b\n1.234;2.5\n999;1.5\n", [1.234, 999.0], "Ambiguous"),
    "small numbers without points": ("a;b\n1.234;x\n999;y\n", [1234, 999], "Ambiguous"),
    "long numbers without commas": ("a;b\n1,234;x\n5678;y\n", [1.234, 5678.0], "Ambiguous"),
    "zero": ("a;b\n0,123;x\n1,234;y\n", [0.123, 1.234], "decimal comma"),
    "millions": ("a;b\n1.234.567;x\n", [1234567], "'1.234.567' is 1234567"),
    "both marks": ('a,b\n"1,234.5",x\n"-7",y\n', [1234.5, -7.0], "'1,234.5' is 1234.5"),
    "lakhs": ('a,b\n"1,23,456.5",x\n', [123456.5], "is 123456.5"),
    "tabs": ("a\tb\n1,5\tx\n2,25\ty\n", [1.5, 2.25], "'1,5' is 1.5"),
    "quotes": ('a,b\n"1,5",x\n"2,25",y\n', [1.5, 2.25], "'1,5' is 1.5"),
    "bars": ("a|b\n1,5|x\n2,25|y\n", [1.5, 2.25], "'1,5' is 1.5"),
    "apostrophes": ("a,b\n1'234.5,x\n7\u2019000,y\n", [1234.5, 7000.0], '"1\'234.5" is 1234.5'),
    "spaces": ("a;b\n1 234,5;x\n7\u00a0000;y\n1\u202f000\u202f000;z\n", [1234.5, 7000.0, 1e6], "'1 234,5' is 1234.5"),
    "signs": ("a,b\n+5,x\n\u22123,y\n", [5, -3], ""),
    "currency": ('a,b\n"$1,234.50",x\n-$5,y\n', [1234.5, -5.0], "with a unit, which is dropped: 'a' ('$')"),
    "percent": ("a,b\n5 %,x\n6.5%,y\n", [5.0, 6.5], "'a' ('%')"),
    "exponents": ("a,b\n1.5e-3,x\n1e5,y\n", [0.0015, 1e5], ""),
    "exponents with a sign": ("a,b\n1e-05,x\n2,y\n", [1e-5, 2.0], ""),
    "leading zeros": (
        "a,b\n00501,x\n501,y\n",
        ["00501", "501"],
        "because they look like codes (--numbers overrides this): 'a' ('00501')",
    ),
    "agents": ("a,b\n007,x\n7,y\n", ["007", "7"], "('007')"),
    "zero alone": ("a,b\n0,x\n-0.5,y\n", [0.0, -0.5], ""),
    "exponent codes": ("a,b\n1E3,x\n10E2,y\n", ["1E3", "10E2"], "('1E3')"),
    "hexadecimal": ("a,b\n12e400,x\n1e5,y\n", ["12e400", "1e5"], "('12e400')"),
    "long identifiers": ("a,b\n9007199254740992,x\n9007199254740993,y\n", ["9007199254740992", "9007199254740993"], "codes"),
    "longer ones": ("a,b\n12345678901234567890,x\n2234567890123456789012,y\n", None, "('12345678901234567890')"),
    "a word": ("a,b\nNA,x\nDE,y\n", ["NA", "DE"], "not as missing values (--missing overrides this): 'a' ('NA' in 1 cell)"),
    "booleans": ("a,b\nTrue,x\n?,y\nFALSE,z\n", [True, None, False], "('?' in 1 cell)"),
    "nothing but NA": ("a,b\nNA,x\nNA,y\n", [None, None], "('NA' in 2 cells)"),
    "text of many numbers": ("a,b\n" + "1,x\n" * 7 + "A/5,y\n" * 3, ["1"] * 7 + ["A/5"] * 3, "such as 'A/5' in line 9"),
    "versions": ("a,b\n1.2.3,x\n1.2,y\n", ["1.2.3", "1.2"], ""),
    "times": ("a,b\n10:30,x\n9:05 pm,y\n", ["10:30", "9:05 pm"], "look like times or dates"),
    "durations": ("a,b\n1:30:00,x\n100:05:59.5,y\n", ["1:30:00", "100:05:59.5"], "look like times or dates"),
    "months": ("a,b\nJan 5,x\nDecember 24,y\n", ["Jan 5", "December 24"], "look like times or dates"),
    "days before months": ("a,b\n5 Jan 2020,x\n24. Mai 2021,y\n", ["5 Jan 2020", "24. Mai 2021"], "look like times or dates"),
    "ratios": ("a,b\n16:9,x\n4:3,y\n", ["16:9", "4:3"], ""),
    "a time and a word": ("a,b\n10:30,x\nnoon,y\n", ["10:30", "noon"], ""),
    "names of months": ("a,b\nJanet,x\nMay Hill,y\n", ["Janet", "May Hill"], ""),
    "wide digits": ("a,b\n\uff11,x\n\uff12,y\n", ["\uff11", "\uff12"], ""),
}


@pytest.mark.parametrize(("content", "values", "message"), COLUMNS.values(), ids=COLUMNS)
def test_column_is_inferred_from_all_of_its_cells(tmp_path, content, values, message):
    frame, assumptions = read(tmp_path, content)
    values = values or [line.partition(",")[0] for line in content.splitlines()[1:]]
    assert frame["a"].to_list() == values
    assert list(map(type, frame["a"])) == list(map(type, values))
    assert (message in assumptions) if message else not assumptions


# pandas._libs.parsers.STR_NA_VALUES, as the documentation of pandas lists it.
DEFAULTS = [
    "#N/A N/A",
    *[
        "#N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ],
]


@pytest.mark.parametrize("mark", [*DEFAULTS, "?", "-", "--", ".", "n.a.", "missing", "\u2013", "#DIV/0!"])
def test_marker_among_numbers_is_missing_and_reported(tmp_path, mark):
    assert mark in MISSING_MARKERS
    for other in ("1.5", "1,5"):
        content = f"a;b\n45;{other}\n{mark};{mark}\n145;-{other}\n{mark};2\n"
        frame, assumptions = read(tmp_path, content)
        expected = pandas.read_csv(io.StringIO(content), sep=";", na_values=[mark], decimal=other[1])
        assert_pandas(frame, expected)
        assert f"'a' ({mark!r} in 2 cells), 'b' ({mark!r} in 1 cell)" in assumptions
    assert "'a'" not in read(tmp_path, "a,b\n1,x\n,y\n")[1]


def test_default_markers_are_those_of_pandas():
    read = pandas.read_csv(io.StringIO("a,b\n" + "".join(f"{mark},x\n" for mark in DEFAULTS)))
    assert read["a"].isna().all()


def test_single_text_in_a_column_of_numbers_is_refused(tmp_path):
    content = "a,b\n" + "".join(f"{number},x\n" for number in range(20)) + "12o,y\n"
    with pytest.raises(
        ValueError, match="has '12o' in column 'a', line 22, where most of the values are numbers: correct that cell, or give"
    ) as caught:
        read(tmp_path, content)
    for option in ("--missing '12o'", "--text 'a'", "--ignore 'a'"):
        assert option in str(caught.value)
    assert read(tmp_path, content, options=CsvOptions(missing=("12o",)))[0]["a"].to_list() == [*range(20), None]
    assert read(tmp_path, content, options=CsvOptions(text=["a"]))[0]["a"].to_list() == [*map(str, range(20)), "12o"]
    quoted = '"x\ny",z\n'.join(["a,b\n", "".join(f"1,{number}\n" for number in range(20)), "2,2\n"])
    with pytest.raises(ValueError, match=r"has 'x\\ny' in column 'a', line 2"):
        read(tmp_path, quoted)
    with pytest.raises(ValueError, match="has '2,5' in column 'a', line 13"):
        read(tmp_path, "a;b\n" + "1.5;x\n" * 11 + "2,5;x\n")


def test_options_override_inference(tmp_path):
    content = "a;b;c\n007;1.234;1E3\n-;5.678;2\n"
    frame, _ = read(tmp_path, content, options=CsvOptions(",", ["a,c"], missing=("-",)))
    assert frame.to_dict(as_series=False) == {"a": [7, None], "b": [1234, 5678], "c": [1000.0, 2.0]}
    assert read(tmp_path, content, options=CsvOptions(".", text=["c"]))[0]["b"].to_list() == [1.234, 5.678]
    with pytest.raises(ValueError, match="but --numbers was given for it"):
        read(tmp_path, "a,b\nx,1\ny,2\n", options=CsvOptions(numbers=["a"]))
    with pytest.raises(ValueError, match="--numbers and --text both name 'a'"):
        read(tmp_path, content, options=CsvOptions(numbers=["a"], text=["a"]))
    with pytest.raises(ValueError, match="unknown --text column 'd'"):
        read(tmp_path, content, options=CsvOptions(text=["d"]))
    polars.DataFrame({"a": [1]}).write_parquet(tmp_path / "data.parquet")
    with pytest.raises(ValueError, match="--decimal, --numbers, --text and --missing are only for CSV files"):
        read_table(str(tmp_path / "data.parquet"), options=CsvOptions(","))


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y-%m-%d %H:%M"])
def test_dates_are_recognized_in_common_formats(tmp_path, form):
    days = pandas.date_range("2024-01-25", periods=9)
    frame, _ = read(tmp_path, "a,b\n" + "".join(f"{day.strftime(form)},x\n" for day in days) + "?,y\n")
    assert frame["a"].to_list() == [*(day.date() for day in days), None]


CELLS = {
    "number": strategies.floats(-1e7, 1e7).map(lambda number: round(number, 2)),
    "whole": strategies.integers(-(10**7), 10**7),
    "text": strategies.text("abz \u00e9\n\"',;|", min_size=1, max_size=4).filter(
        lambda text: text == text.strip() != "" and text not in MISSING_MARKERS
    ),
}


@EXAMPLES
@hypothesis.given(
    strategies.data(),
    strategies.sampled_from([(",", "."), (";", ","), (";", "."), ("\t", ","), ("|", ",")]),
    strategies.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    strategies.sampled_from(["\n", "\r\n", "\r"]),
    strategies.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
def test_files_written_by_pandas_are_read_back(tmp_path_factory, data, marks, encoding, end, quoting):
    rows = data.draw(strategies.integers(1, 8))
    kinds = data.draw(strategies.lists(strategies.sampled_from(list(CELLS)), min_size=1, max_size=4))
    # A first column tells which decimal mark it is, and that no row is blank.
    table = {"c": [1.5] * rows} | {
        f"c{place}": data.draw(strategies.lists(strategies.none() | CELLS[kind], min_size=rows, max_size=rows))
        for place, kind in enumerate(kinds)
    }
    separator, decimal = marks
    # pandas puts no quotes around a line feed where lines end with CR.
    cells = [str(cell) for column in table.values() for cell in column]
    hypothesis.assume(end != "\r" or quoting != csv.QUOTE_MINIMAL or not any("\n" in cell for cell in cells))
    types = {"number": float, "whole": "Int64", "text": object}
    frame = pandas.DataFrame(
        {
            name: pandas.Series(cells, dtype=float if name == "c" else types[kinds[int(name[1:])]])
            for name, cells in table.items()
        }
    )
    path = tmp_path_factory.mktemp("written") / "data.csv"
    frame.to_csv(path, sep=separator, decimal=decimal, encoding=encoding, lineterminator=end, quoting=quoting, index=False)
    found = read_table(str(path))
    found.check_readable(found.frame.columns)
    for name, cells in table.items():
        assert found.frame[name].to_list() == [cell.replace("\r", "\n") if isinstance(cell, str) else cell for cell in cells]


@EXAMPLES
@hypothesis.given(
    strategies.lists(strategies.lists(strategies.text('ab "\n', max_size=4), min_size=2, max_size=2), min_size=1, max_size=6),
    strategies.integers(0, 3),
)
def test_rows_match_the_csv_module(tmp_path_factory, rows, blank):
    """Fields with and without quotes, blank lines between them."""
    rows = [[f"x{first}", f"y{second}"] for first, second in rows]
    with io.StringIO() as file:
        csv.writer(file, lineterminator="\n" * (1 + blank)).writerows([["a", "b"], *rows])
        content = file.getvalue()
    path = tmp_path_factory.mktemp("rows") / "data.csv"
    path.write_text(content)
    assert [tuple(map(str.strip, row)) for row in rows] == read_table(str(path)).frame.rows()


@EXAMPLES
@hypothesis.given(strategies.binary(max_size=60) | strategies.text('a1,;".\n\r\t =?', max_size=60).map(str.encode))
def test_any_file_is_read_or_refused_with_a_one_line_error(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("any") / "data.csv"
    path.write_bytes(raw)
    try:
        table = read_table(str(path))
        list(table.describe_assumptions(table.frame.columns))
    except ValueError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


@pytest.mark.parametrize("height", [3, SHORT_COLUMN, SHORT_COLUMN + 1])
@pytest.mark.parametrize("decimal", [".", ","])
def test_columns_of_all_kinds_together(tmp_path, height, decimal):
    """Short columns are joined for reading, long ones are not."""
    last = height - 1
    cells = {
        "whole": [str(row) for row in range(height)],
        "decimal": [f"{row}.25" for row in range(height)],
        "marked": ["?" if row == last else f"-{row}.25" for row in range(height)],
        "whole and marked": ["NA" if row == 0 else str(row) for row in range(height)],
        "words": [["red", "blue"][row % 2] for row in range(height)],
        "words and marks": [["red", "unknown"][row % 2] for row in range(height)],
        "marks": ["-" for _ in range(height)],
        "codes": ["007" if row == last else "12" for row in range(height)],
        "codes and marks": [["007", "?", "12"][row % 3] for row in range(height)],
        "empty": ["" for _ in range(height)],
        "flags": [["True", "False"][row % 2] for row in range(height)],
        "flags and marks": ["n/a" if row == last else "True" for row in range(height)],
        "NaN": ["nan" if row == 0 else "1.5" for row in range(height)],
        "ends in a number": ["red" if row < last else "1.5" for row in range(height)],
    }
    text = {name: str for name in ("words", "words and marks", "codes", "codes and marks", "ends in a number")}
    for name in ("decimal", "marked", "NaN"):
        cells[name] = [cell.replace(".", decimal) for cell in cells[name]]
    content = pandas.DataFrame(cells).to_csv(index=False, sep=";")
    marks = {name: ["?", "NA", "-", "n/a", "nan", ""] for name in cells if name not in text}
    expected = pandas.read_csv(
        io.StringIO(content), sep=";", decimal=decimal, dtype=text, na_values=marks, keep_default_na=False
    )
    frame, assumptions = read(tmp_path, content)
    assert_pandas(frame, expected)
    assert "'whole and marked' ('NA' in 1 cell)" in assumptions
    assert f"'words and marks' ('unknown' in {height // 2:,} cell" in assumptions


@pytest.mark.parametrize(
    ("row", "is_quoted"),
    [('5" pipe,say "no"', False), (' x",y"', False), ('"a,b",z', True), (' "a",  z"', True), ('5" pipe,"a,b"', True)],
)
def test_quotes_inside_a_field_are_text(tmp_path, row, is_quoted):
    content = f"a,b\n{row}\nx,y\n"
    more = {} if is_quoted else {"quoting": csv.QUOTE_NONE}
    expected = pandas.read_csv(io.StringIO(content), skipinitialspace=True, **more)
    assert_pandas(read(tmp_path, content)[0], expected)


@pytest.mark.parametrize("line", ["", "  ", "\t", " \t ", "\t\t"])
@pytest.mark.parametrize("text", ["c", '5" c'])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_line_of_tabs_is_a_row_only_if_tabs_separate(tmp_path, separator, text, line):
    content = "\n".join([separator.join("xyz"), separator.join([text, "1", "2"]), line, separator.join(["d", "3", "4"]), ""])
    assert read(tmp_path, content)[0].height == len(pandas.read_csv(io.StringIO(content), sep=separator))


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("csv", ";"), ("tsv", "\t"), ("csv", "\t")])
def test_line_may_be_longer_than_the_field_limit(tmp_path, ending, separator):
    expected = pandas.DataFrame(np.arange(40_000).reshape(2, -1), columns=[f"gene {place}" for place in range(20_000)])
    frame, _ = read(tmp_path, expected.to_csv(index=False, sep=separator), f"data.{ending}")
    assert_pandas(frame, expected)


@pytest.mark.parametrize(
    ("content", "known", "values", "message"),
    [
        ('a,b\n"1,250",x\n', {}, [1250], "written differently than in training: 'a' ('1,250' is 1250)"),
        ('a,b\n"1,250.5",x\n', {"thousands": ","}, [1250.5], ""),
        ("a;b\n1.500;x\n2500;y\n", {}, [1.5, 2500.0], "with a decimal point as in training: 'a' ('1.500' is 1.5)"),
        ("a;b\n1.500;x\n2.25;y\n", {}, [1.5, 2.25], ""),
        ("a,b\n1.500,x\n", {}, [1.5], ""),
        ("a;b\n1.500;x\n", {"decimal": ",", "thousands": "."}, [1500], ""),
    ],
)
def test_changed_number_format_is_reported(tmp_path, content, known, values, message):
    frame, assumptions = read(tmp_path, content, known={"a": ColumnFormat("a", "number", **known)})
    assert frame["a"].to_list() == values
    assert message in assumptions if message else not assumptions


@pytest.mark.parametrize(
    ("unit", "cell", "expected"), [("", "50%", ""), ("", "$5", ""), ("%", "0.5", " with '%'"), ("$", "5€", " with '$'")]
)
def test_unit_that_training_did_not_have_is_refused(tmp_path, unit, cell, expected):
    message = f"has {cell!r} in column 'a', line 3, where training had numbers{expected}: "
    with pytest.raises(ValueError, match=re.escape(message)):
        read(tmp_path, f"a,b\n\n{cell},x\n", known={"a": ColumnFormat("a", "number", unit=unit)})


def test_row_names_written_by_r_are_an_index(tmp_path):
    content = "a,b\nr1,1,2\nr2,3,4\n"
    expected = pandas.read_csv(io.StringIO(content))
    frame, _ = read(tmp_path, content)
    assert list(frame[:, 0]) == list(expected.index) and find_index("data.csv", frame) == frame.columns[:1]
    assert_pandas(frame[:, 1:], expected)


def test_assumption_about_many_columns_is_one_line(tmp_path):
    names = [f"c{number}" for number in range(100)]
    frame, assumptions = read(
        tmp_path, ",".join(names) + "\n" + "\n".join(",".join(row) for row in (["01"] * 100, ["2"] * 100)) + "\n"
    )
    assert frame.width == 100 and assumptions.count("\n") == 0 and assumptions.endswith("'c19' ('01') and 80 more.")
    assert list(itertools.islice(frame.dtypes, 1)) == [polars.String]
