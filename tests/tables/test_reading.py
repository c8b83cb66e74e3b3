"""How CSV files are read: the right values are pandas's, told by hand what this finds out, or those that were written."""

import csv
import io
import itertools
import math
import re

import hypothesis
import numpy as np
import polars
import pytest
from hypothesis import strategies

import portable_bp as bp
from portable_bp.cli import main
from portable_bp.tables import find_recipe, write_recipe
from portable_bp.tables.files import read_table
from portable_bp.tables.index import find_index
from portable_bp.tables.inference import Options
from portable_bp.tables.reading import MANY, MARKS, Reading
from tests.support.tables import flowers, skip_without_what_train_needs, train

pandas = pytest.importorskip("pandas")
EXAMPLES = hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=[*hypothesis.HealthCheck])


def read(tmp_path, content, name="data.csv", **more):
    """Return a table, and all that is said of it."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = read_table(str(path), **more)
    table.refuse(table.frame.columns)
    return table.frame, "\n".join(table.tell_remarks(table.frame.columns))


def assert_pandas(frame, expected):
    """Check that a frame has the columns, the values and the missing values of pandas's."""
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
    "separators alone": ("a,b\n1,2\n,\n", {}, "1 row without a value"),
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


@pytest.mark.parametrize(("content", "options", "said"), FILES.values(), ids=FILES)
def test_files_are_read_as_pandas_reads_them(tmp_path, content, options, said):
    frame, told = read(tmp_path, content)
    raw = content if isinstance(content, bytes) else content.encode()
    assert_pandas(frame, pandas.read_csv(io.BytesIO(raw), **{"keep_default_na": False, "na_values": [""]} | options))
    assert (said in told) if said else not told


# What is read, as values, and what has to be said of it.
COLUMNS = {
    "decimal commas": ("a;b\n1.234;x\n999,9;y\n", [1234.0, 999.9], "'1.234' is 1234"),
    "groups of three": ("a;b\n1,234;x\n12,500;y\n", [1234, 12500], "'1,234' is 1234"),
    "in two ways": ("a;b\n1.234;2.345\n", [1.234], "in two ways"),
    "another column with commas": ("a;b\n1.234;2,5\n", [1234], "in two ways"),
    "another column with points": ("a;b\n1.234;2.5\n999;1.5\n", [1.234, 999.0], "in two ways"),
    "small numbers without points": ("a;b\n1.234;x\n999;y\n", [1234, 999], "in two ways"),
    "long numbers without commas": ("a;b\n1,234;x\n5678;y\n", [1.234, 5678.0], "in two ways"),
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
    "currency": ('a,b\n"$1,234.50",x\n-$5,y\n', [1234.5, -5.0], "with a unit, which is left out: 'a' ('$')"),
    "percent": ("a,b\n5 %,x\n6.5%,y\n", [5.0, 6.5], "'a' ('%')"),
    "exponents": ("a,b\n1.5e-3,x\n1e5,y\n", [0.0015, 1e5], ""),
    "exponents with a sign": ("a,b\n1e-05,x\n2,y\n", [1e-5, 2.0], ""),
    "leading zeros": ("a,b\n00501,x\n501,y\n", ["00501", "501"], "as codes are (--numbers says otherwise): 'a' ('00501')"),
    "agents": ("a,b\n007,x\n7,y\n", ["007", "7"], "('007')"),
    "zero alone": ("a,b\n0,x\n-0.5,y\n", [0.0, -0.5], ""),
    "exponent codes": ("a,b\n1E3,x\n10E2,y\n", ["1E3", "10E2"], "('1E3')"),
    "hexadecimal": ("a,b\n12e400,x\n1e5,y\n", ["12e400", "1e5"], "('12e400')"),
    "long identifiers": ("a,b\n9007199254740992,x\n9007199254740993,y\n", ["9007199254740992", "9007199254740993"], "codes"),
    "longer ones": ("a,b\n12345678901234567890,x\n2234567890123456789012,y\n", None, "('12345678901234567890')"),
    "a word": ("a,b\nNA,x\nDE,y\n", ["NA", "DE"], "not as missing (--missing says otherwise): 'a' ('NA' in 1 cell)"),
    "booleans": ("a,b\nTrue,x\n?,y\nFALSE,z\n", [True, None, False], "('?' in 1 cell)"),
    "nothing but NA": ("a,b\nNA,x\nNA,y\n", [None, None], "('NA' in 2 cells)"),
    "text of many numbers": ("a,b\n" + "1,x\n" * 7 + "A/5,y\n" * 3, ["1"] * 7 + ["A/5"] * 3, "such as 'A/5' in line 9"),
    "versions": ("a,b\n1.2.3,x\n1.2,y\n", ["1.2.3", "1.2"], ""),
    "wide digits": ("a,b\n\uff11,x\n\uff12,y\n", ["\uff11", "\uff12"], ""),
}


@pytest.mark.parametrize(("content", "values", "said"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_is_judged_as_a_whole(tmp_path, content, values, said):
    frame, told = read(tmp_path, content)
    values = values or [line.partition(",")[0] for line in content.splitlines()[1:]]
    assert frame["a"].to_list() == values
    assert list(map(type, frame["a"])) == list(map(type, values))
    assert (said in told) if said else not told


# pandas._libs.parsers.STR_NA_VALUES, as its documentation lists it, and the marks of the statistical offices.
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
def test_a_mark_among_numbers_is_missing_and_said(tmp_path, mark):
    assert mark in MARKS
    for other in ("1.5", "1,5"):
        content = f"a;b\n45;{other}\n{mark};{mark}\n145;-{other}\n{mark};2\n"
        frame, told = read(tmp_path, content)
        expected = pandas.read_csv(io.StringIO(content), sep=";", na_values=[mark], decimal=other[1])
        assert_pandas(frame, expected)
        assert f"'a' ({mark!r} in 2 cells), 'b' ({mark!r} in 1 cell)" in told
    assert "'a'" not in read(tmp_path, "a,b\n1,x\n,y\n")[1]


def test_pandas_has_no_other_marks():
    read = pandas.read_csv(io.StringIO("a,b\n" + "".join(f"{mark},x\n" for mark in DEFAULTS)))
    assert read["a"].isna().all()


def test_what_is_no_number_is_refused_where_nearly_all_are(tmp_path):
    content = "a,b\n" + "".join(f"{number},x\n" for number in range(20)) + "12o,y\n"
    with pytest.raises(
        ValueError, match="has '12o' in column 'a', line 22, where most are numbers: correct it, or say"
    ) as caught:
        read(tmp_path, content)
    for way in ("--missing '12o'", "--text 'a'", "--ignore 'a'"):
        assert way in str(caught.value)
    assert read(tmp_path, content, options=Options(missing=("12o",)))[0]["a"].to_list() == [*range(20), None]
    assert read(tmp_path, content, options=Options(text=["a"]))[0]["a"].to_list() == [*map(str, range(20)), "12o"]
    quoted = '"x\ny",z\n'.join(["a,b\n", "".join(f"1,{number}\n" for number in range(20)), "2,2\n"])
    with pytest.raises(ValueError, match=r"has 'x\\ny' in column 'a', line 2"):
        read(tmp_path, quoted)
    with pytest.raises(ValueError, match="has '2,5' in column 'a', line 13"):
        read(tmp_path, "a;b\n" + "1.5;x\n" * 11 + "2,5;x\n")


def test_the_user_says_otherwise(tmp_path):
    content = "a;b;c\n007;1.234;1E3\n-;5.678;2\n"
    frame, _ = read(tmp_path, content, options=Options(",", ["a,c"], missing=("-",)))
    assert frame.to_dict(as_series=False) == {"a": [7, None], "b": [1234, 5678], "c": [1000.0, 2.0]}
    assert read(tmp_path, content, options=Options(".", text=["c"]))[0]["b"].to_list() == [1.234, 5.678]
    with pytest.raises(ValueError, match="where you said that are numbers"):
        read(tmp_path, "a,b\nx,1\ny,2\n", options=Options(numbers=["a"]))
    with pytest.raises(ValueError, match="'a' cannot be of numbers and of text"):
        read(tmp_path, content, options=Options(numbers=["a"], text=["a"]))
    with pytest.raises(ValueError, match="unknown column of text 'd'"):
        read(tmp_path, content, options=Options(text=["d"]))
    polars.DataFrame({"a": [1]}).write_parquet(tmp_path / "data.parquet")
    with pytest.raises(ValueError, match="--decimal, --numbers, --text and --missing are for CSV files"):
        read_table(str(tmp_path / "data.parquet"), options=Options(","))


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y-%m-%d %H:%M"])
def test_dates_are_dates(tmp_path, form):
    days = pandas.date_range("2024-01-25", periods=9)
    frame, _ = read(tmp_path, "a,b\n" + "".join(f"{day.strftime(form)},x\n" for day in days) + "?,y\n")
    assert frame["a"].to_list() == [*(day.date() for day in days), None]


CELLS = {
    "number": strategies.floats(-1e7, 1e7).map(lambda number: round(number, 2)),
    "whole": strategies.integers(-(10**7), 10**7),
    "text": strategies.text("abz \u00e9\n\"',;|", min_size=1, max_size=4).filter(
        lambda text: text == text.strip() != "" and text not in MARKS
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
def test_what_pandas_writes_is_read(tmp_path_factory, data, marks, encoding, end, quoting):
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
    found.refuse(found.frame.columns)
    for name, cells in table.items():
        assert found.frame[name].to_list() == [cell.replace("\r", "\n") if isinstance(cell, str) else cell for cell in cells]


@EXAMPLES
@hypothesis.given(
    strategies.lists(strategies.lists(strategies.text('ab "\n', max_size=4), min_size=2, max_size=2), min_size=1, max_size=6),
    strategies.integers(0, 3),
)
def test_rows_are_those_of_the_csv_module(tmp_path_factory, rows, blank):
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
def test_any_file_is_read_or_refused_in_a_sentence(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("any") / "data.csv"
    path.write_bytes(raw)
    try:
        table = read_table(str(path))
        list(table.tell_remarks(table.frame.columns))
    except ValueError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


def write_rows(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")


def run(tmp_path, capsys, header, rows, new, *more):
    """Train on rows and predict others, and return what was printed, the predictions, and what predicting said."""
    write_rows(tmp_path / "data.csv", header, rows)
    model = str(tmp_path / "model.safetensors")
    assert main(["train", str(tmp_path / "data.csv"), "-o", model, "--hidden", "16", "--learning-rate", "0.01", *more]) == 0
    told = capsys.readouterr().out
    write_rows(tmp_path / "new.csv", header, new)
    assert main(["predict", model, str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")]) == 0
    return told, polars.read_csv(tmp_path / "out.csv", infer_schema_length=0), capsys.readouterr().err


def german(number):
    return f"{number:,.1f}".translate(str.maketrans(",.", ".,")).removesuffix(",0")


def test_prices_with_thousands_are_learned(tmp_path, capsys):
    areas = np.random.default_rng(0).integers(5000, 30_000, 200) / 10
    rows = [f"{german(area)};{german(2 * area)}" for area in areas]
    told, predicted, said = run(tmp_path, capsys, "area;price", rows, ["1.234;0"], "--target", "price")
    assert float(told.splitlines()[-1].split()[1]) > 0.98
    assert "Numbers: 'area', 'price'." in told and "decimal comma" in told
    assert abs(float(predicted["price"][0]) - 2468) < 100 and not said


@pytest.mark.parametrize("height", [3, MANY, MANY + 1])
@pytest.mark.parametrize("decimal", [".", ","])
def test_columns_of_all_kinds_together(tmp_path, height, decimal):
    """Short columns are read joined, and long ones as they are."""
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
    frame, said = read(tmp_path, content)
    assert_pandas(frame, expected)
    assert "'whole and marked' ('NA' in 1 cell)" in said and f"'words and marks' ('unknown' in {height // 2:,} cell" in said


@pytest.mark.parametrize(
    ("row", "is_quoted"),
    [('5" pipe,say "no"', False), (' x",y"', False), ('"a,b",z', True), (' "a",  z"', True), ('5" pipe,"a,b"', True)],
)
def test_quotes_are_text_but_around_a_field(tmp_path, row, is_quoted):
    content = f"a,b\n{row}\nx,y\n"
    more = {} if is_quoted else {"quoting": csv.QUOTE_NONE}
    expected = pandas.read_csv(io.StringIO(content), skipinitialspace=True, **more)
    assert_pandas(read(tmp_path, content)[0], expected)


@pytest.mark.parametrize("line", ["", "  ", "\t", " \t ", "\t\t"])
@pytest.mark.parametrize("text", ["c", '5" c'])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_lines_of_tabs_are_rows_only_between_tabs(tmp_path, separator, text, line):
    content = "\n".join([separator.join("xyz"), separator.join([text, "1", "2"]), line, separator.join(["d", "3", "4"]), ""])
    assert read(tmp_path, content)[0].height == len(pandas.read_csv(io.StringIO(content), sep=separator))


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("csv", ";"), ("tsv", "\t"), ("csv", "\t")])
def test_a_line_longer_than_a_field_may_be(tmp_path, ending, separator):
    expected = pandas.DataFrame(np.arange(40_000).reshape(2, -1), columns=[f"gene {place}" for place in range(20_000)])
    frame, _ = read(tmp_path, expected.to_csv(index=False, sep=separator), f"data.{ending}")
    assert_pandas(frame, expected)


def test_a_stray_mark_in_numbers_and_target(tmp_path, capsys):
    powers = np.random.default_rng(0).integers(45, 146, 200)
    rows = [f"{hp},{60 - 0.3 * hp:.1f}" for hp in powers]
    rows[7], rows[9] = f"?,{rows[7].partition(',')[2]}", f"{powers[9]},?"
    told, predicted, said = run(tmp_path, capsys, "hp,mpg", rows, ["45,", "", "145,", "", ""], "--target", "mpg")
    assert "Task: regression" in told and "Taken as missing, as empty cells are: 'mpg' ('?' in 1 cell)." in told
    assert "Column 'hp': missing in 1 of 199 rows ('?' in 1 cell), taken as the mean." in told
    assert predicted.height == 2
    np.testing.assert_allclose([float(value) for value in predicted["mpg"]], [46.5, 16.5], atol=2.5)


def test_codes_and_words_are_classes(tmp_path, capsys):
    for labels in (("007", "7"), ("NA", "DE"), ("1E3", "10E2"), ("12345678901234567890", "12345678901234567891")):
        rows = [f"{number % 2},{labels[number % 2]}" for number in range(60)]
        told, predicted, _ = run(tmp_path, capsys, "x,y", rows, ["0,", "1,"], "--target", "y")
        assert "Text: 'y'." in told and repr(labels[0]) in told
        assert predicted["y"].to_list() == list(labels)


def test_one_row_is_read_as_those_of_training_were(tmp_path, capsys):
    generator = np.random.default_rng(0)
    sizes, zips = generator.integers(1000, 99_999, 100) / 10, generator.integers(1, 4, 100)
    rows = [
        f"{german(size)};0{code};{'?' if place % 20 == 0 else 7 + code};{size + 1000 * code:.0f}"
        for place, (size, code) in enumerate(zip(sizes, zips, strict=True))
    ]
    header = "size;zip;rooms;price"
    run(tmp_path, capsys, header, rows, ["1.500;01;8;", "1500,0;01;8;", "1500;01;8;"], "--target", "price")
    predicted = polars.read_csv(tmp_path / "out.csv")["price"]
    assert predicted.n_unique() == 1

    def predict_alone(row):
        write_rows(tmp_path / "new.csv", header, [row])
        code = main(
            ["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")]
        )
        return code, capsys.readouterr().err

    for row in ("1.500;01;8;", "1500;01;8;x"):
        assert predict_alone(row) == (0, "")
        assert polars.read_csv(tmp_path / "out.csv")["price"].to_list() == predicted.to_list()[:1]
    told = "portable-bp: missing values are replaced by the mean of training: 'rooms' (in 1 of 1 rows).\n"
    assert predict_alone("1.500;01;?;") == (0, told)
    assert "'rooms' ('n.a.' in 1 cell)" in predict_alone("1.500;01;n.a.;")[1]
    assert "written in another way than in training: 'size' ('1500.5' is 1500.5)" in predict_alone("1500.5;01;8;")[1]
    code, said = predict_alone("1.500;01;eight;")
    assert code == 2 and "has 'eight' in column 'rooms', line 2, and numbers in training" in said


@pytest.mark.parametrize(
    ("content", "known", "values", "said"),
    [
        ('a,b\n"1,250",x\n', {}, [1250], "written in another way than in training: 'a' ('1,250' is 1250)"),
        ('a,b\n"1,250.5",x\n', {"thousands": ","}, [1250.5], ""),
        ("a;b\n1.500;x\n2500;y\n", {}, [1.5, 2500.0], "with a decimal point, as in training: 'a' ('1.500' is 1.5)"),
        ("a;b\n1.500;x\n2.25;y\n", {}, [1.5, 2.25], ""),
        ("a,b\n1.500,x\n", {}, [1.5], ""),
        ("a;b\n1.500;x\n", {"decimal": ",", "thousands": "."}, [1500], ""),
    ],
)
def test_another_way_to_write_a_known_column_is_told(tmp_path, content, known, values, said):
    frame, told = read(tmp_path, content, known={"a": Reading("a", "number", **known)})
    assert frame["a"].to_list() == values
    assert said in told if said else not told


@pytest.mark.parametrize(
    ("unit", "cell", "said"), [("", "50%", ""), ("", "$5", ""), ("%", "0.5", " with '%'"), ("$", "5€", " with '$'")]
)
def test_a_unit_that_training_had_not_is_refused(tmp_path, unit, cell, said):
    with pytest.raises(ValueError, match=re.escape(f"has {cell!r} in column 'a', line 3, and numbers{said} in training: ")):
        read(tmp_path, f"a,b\n\n{cell},x\n", known={"a": Reading("a", "number", unit=unit)})


@pytest.mark.parametrize("above", ["Houses of 2020\n\n", "# exported\n# by a program\n"])
def test_lines_above_the_names_are_told(tmp_path, capsys, above):
    skip_without_what_train_needs()
    rows = [f"{number},{2 * number}.5" for number in range(40)]
    write_rows(tmp_path / "data.csv", f"{above}x,y", rows)
    command = ["train", str(tmp_path / "data.csv"), "--target", "y", "-o", str(tmp_path / "model.safetensors"), "--epochs", "1"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert f"one column, {above.splitlines()[0]!r}: its first line should name the columns; delete what stands above" in error
    write_rows(tmp_path / "data.csv", "x,y", rows)
    assert main(command) == 0
    write_rows(tmp_path / "new.csv", f"{above}x,y", rows)
    assert main(["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "new.csv")]) == 2
    assert capsys.readouterr().err.endswith("does its first line name the columns?\n")


def test_what_is_needed_is_not_to_be_ignored(tmp_path, capsys):
    skip_without_what_train_needs()
    rows = [f"{number},{number % 7},{2 * number}.5" for number in range(40)]
    model = str(tmp_path / "model.safetensors")
    command = ["train", str(tmp_path / "data.csv"), "--target", "y", "-o", model, "--epochs", "1"]
    write_rows(tmp_path / "data.csv", "x,z,y", [f"{row.rpartition(',')[0]},2020-01-1{row[0]}" for row in rows])
    assert main(command) == 2
    assert "'y' (Date); make numbers of them" in capsys.readouterr().err
    write_rows(tmp_path / "data.csv", "x,z,y", rows)
    assert main(command) == 0
    capsys.readouterr()
    for row, said in {
        "2020-01-01,1": "'x' (Date); make numbers of them",
        "inf,1": "in 'x': clear those cells.",
    }.items():
        write_rows(tmp_path / "new.csv", "x,z", [row])
        assert main(["predict", model, str(tmp_path / "new.csv")]) == 2
        error = capsys.readouterr().err
        assert said in error and "--ignore" not in error
    write_rows(tmp_path / "new.csv", "x,z,day", ["1,1,2020-01-01"])
    assert main(["predict", model, str(tmp_path / "new.csv")]) == 2
    assert "'day' (Date); leave them out with --ignore 'day'" in capsys.readouterr().err


def test_older_models_are_read_as_they_were(tmp_path, capsys):
    assert train(tmp_path, flowers(), "species", "--quiet") == 0
    model = bp.load(tmp_path / "model.safetensors", "numpy")
    recipe = find_recipe("model", model)
    assert recipe
    facts = write_recipe(recipe)
    assert recipe.readings == () and ',"readings":[]' in facts
    model.notes["table"] = facts.replace(',"readings":[]', "")
    model.save(tmp_path / "model.safetensors")
    older = find_recipe("model", model)
    assert older and older.readings is None and write_recipe(older) == model.notes["table"]
    (tmp_path / "new.csv").write_text("length,color,fresh\n1.0,NA,true\n1.0,,NA\n")
    assert (
        main(["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")]) == 0
    )
    assert "known ones: a missing value." in capsys.readouterr().err


def test_options_are_remembered(tmp_path, capsys):
    rows = [f"{number % 4:02},{'none' if number == 5 else number % 4 + 0.5},{number % 4}" for number in range(80)]
    more = ["--target", "y", "--task", "regression", "--numbers", "code", "--missing", "none"]
    told, predicted, said = run(tmp_path, capsys, "code,x,y", rows, ["03,none,", "3,3.5,"], *more)
    assert "Numbers: 'code', 'x', 'y'." in told
    assert said == "portable-bp: missing values are replaced by the mean of training: 'x' (in 1 of 2 rows).\n"
    recipe = find_recipe("", bp.load(tmp_path / "model.safetensors", "numpy"))
    assert recipe
    found = {reading.name: reading for reading in recipe.readings or ()}
    assert found["x"] == Reading("x", "number", missing=("none",))
    assert all(math.isfinite(float(value)) for value in predicted["y"])


def test_ignored_columns_need_not_be_readable(tmp_path, capsys):
    rows = [f"{number if number else '1o'},{number % 2},{number % 2}" for number in range(60)]
    write_rows(tmp_path / "data.csv", "id,x,y", rows)
    command = ["train", str(tmp_path / "data.csv"), "--target", "y", "-o", str(tmp_path / "model.safetensors"), "--epochs", "1"]
    assert main(command) == 2
    assert "has '1o' in column 'id', line 2, where most are numbers" in capsys.readouterr().err
    assert main([*command, "--ignore", "id"]) == 0
    told = capsys.readouterr().out
    assert "Numbers: 'x', 'y'." in told and "1o" not in told


def test_names_of_rows_as_r_writes_them(tmp_path):
    content = "a,b\nr1,1,2\nr2,3,4\n"
    expected = pandas.read_csv(io.StringIO(content))
    frame, _ = read(tmp_path, content)
    assert list(frame[:, 0]) == list(expected.index) and find_index("data.csv", frame) == frame.columns[:1]
    assert_pandas(frame[:, 1:], expected)


def test_many_columns_are_said_in_one_line(tmp_path):
    names = [f"c{number}" for number in range(100)]
    frame, told = read(
        tmp_path, ",".join(names) + "\n" + "\n".join(",".join(row) for row in (["01"] * 100, ["2"] * 100)) + "\n"
    )
    assert frame.width == 100 and told.count("\n") == 0 and told.endswith("'c19' ('01') and 80 more.")
    assert list(itertools.islice(frame.dtypes, 1)) == [polars.String]


@pytest.mark.parametrize("cells", [["1.500,5", "2.000,0"], ["1500,5", "2000"], ['"1.500,5"', "2000,00"]])
def test_a_file_of_one_column_is_not_split_at_decimal_commas(tmp_path, capsys, cells):
    sizes = np.random.default_rng(0).integers(1000, 99_999, 100) / 10
    rows = [f"{german(size)};{german(2.0 * size)}" for size in sizes]
    run(tmp_path, capsys, "size;price", rows, ["1500,5;", "2000,0;"], "--target", "price")
    expected = polars.read_csv(tmp_path / "out.csv")["price"].to_list()
    write_rows(tmp_path / "new.csv", "size", cells)
    assert (
        main(["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")]) == 0
    )
    assert polars.read_csv(tmp_path / "out.csv")["price"].to_list() == expected
