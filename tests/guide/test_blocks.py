"""Every Python block of README.md and of the guide runs, and prints what it shows.

The blocks of a page run in order, in one namespace and in an empty folder. What a statement prints is written as a comment at
its end, or as lines of comment right after it:

    print(0.1 + 0.2)  # 0.30
    for letter in "ab":
        print(letter)
    # a
    # b

Every statement that prints has such a comment; a comment at the end of any other statement is a remark. Text is compared
literally, but for the number of spaces. Numbers with a fraction are compared to the digits that are written, within one of
the last of them, since matrix products differ in their last bits from machine to machine; ``0.0`` and ``1.`` are exact.
``...`` stands for anything, such as a version.

In ``tables.md`` the lines ``$ portable-bp ...`` of console blocks run too, and what follows each is what it prints: its
output, then its remarks. Of other shell blocks nothing runs.

A block is left out, and the page's test skipped after all others ran, where the block names an optional library that is not
installed, or takes something from such a block.
"""

import pytest

from tests.guide.pages import NEEDS, PAGES, matches, read_blocks, run_page


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTABLE_BP_BACKEND", "numpy")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_blocks_run_and_print_what_they_show(path):
    report = run_page(path.name, path.read_text(encoding="utf-8"), commands=path.name == "tables.md")
    assert not report.problems, "\n".join(report.problems)
    if report.left_out:
        pytest.skip("; ".join(report.left_out))


def run(source):
    return run_page("page.md", f"# A page\n\n```python\n{source}\n```\n")


@pytest.mark.parametrize(
    "source",
    [
        "print(1)  # 1",
        "print('a\\nb')\n# a\n# b",
        "for i in range(2):\n    print(i)\n# 0\n# 1",
        "def f():\n    print(1)",
        "x = 1  # one",
        "if False:\n    pass\nprint()\n#",
        "print([0.123456, 2])  # [0.1235, 2]",
        "print('version 1.2.3')  # version ...",
    ],
)
def test_right_outputs_pass(source):
    assert run(source).problems == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("print(1)  # 2", "page.md:4 prints:\n1\nand shows:\n2"),
        ("x = 1\n\nprint(x)", "page.md:6 does not show what it prints"),
        ("print(1)\n\n# 1", "does not show"),
        ("if x := 0:\n    print(x)  # 1", "and shows:\n1"),
        ("def f():\n    print(1)\nf()", "page.md:6 does not show"),
        ("print('a\\nb')  # a", "prints:\na\nb\n"),
        ("print(0.1252)  # 0.1234", "and shows:\n0.1234"),
    ],
)
def test_wrong_and_missing_outputs_are_found(source, message):
    (problem,) = run(source).problems
    assert message in problem


def test_an_error_in_a_block_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        run("1 / 0")
    with pytest.raises(ModuleNotFoundError):
        run("import no_such_library")


@pytest.mark.parametrize(
    ("expected", "shown"),
    [
        ("0.125", "0.1259"),
        ("0.125", "0.124"),
        ("1.2e-10", "1.19e-10"),
        ("[0.50  -0.25]", "[ 0.5 -0.25]"),
        ("loss 0.1, ... epochs", "loss 0.1, 17 epochs"),
        ("[0. 1.]", "[0. 1.]"),
        ("1.000", "0.99999"),
        ("about 0.5.", "about 0.53."),
    ],
)
def test_numbers_match_to_the_digits_that_are_written(expected, shown):
    assert matches(expected, shown)


@pytest.mark.parametrize(
    ("expected", "shown"),
    [
        ("0.125", "0.1271"),
        ("0.125", "0.1239"),
        ("1.2e-10", "1.4e-10"),
        ("0.0", "0.01"),
        ("[0. 1.]", "[0. 0.9]"),
        ("17", "18"),
        ("1.2.3", "1.2.4"),
        ("0.5", "nan"),
        ("a ... c", "a b"),
        ("layer b2", "layer b3"),
    ],
)
def test_other_numbers_and_texts_do_not_match(expected, shown):
    assert not matches(expected, shown)


def test_blocks_that_need_a_missing_library_are_left_out_and_no_others(monkeypatch):
    monkeypatch.setattr("tests.guide.pages.ABSENT", {"sky_hook"})
    monkeypatch.setitem(NEEDS, "sky_hook", "sky_hook")
    page = "```python\nimport sky_hook as hook\n```\n```python\nprint(hook)\n```\n```python\nprint(1)  # 2\n```\n"
    report = run_page("page.md", page)
    assert report.left_out == ["page.md:2 needs sky_hook", "page.md:5 needs hook"]
    assert len(report.problems) == 1
    with pytest.raises(NameError):
        run("print(hook)")


def test_command_lines_run_where_they_are_to():
    page = "```console\n$ portable-bp example --decimals 99\n...\n$ rm everything\n```\n"
    with pytest.raises(SystemExit):
        run_page("page.md", page, commands=True)
    assert run_page("page.md", page).problems == []
    page = "```console\n$ portable-bp predict none.safetensors none.csv\nall went well\n```\n"
    report = run_page("page.md", page, commands=True)
    assert report.left_out or "none.safetensors" in report.problems[0]


def test_blocks_are_found_with_their_lines():
    page = "text\n\n```python\n1\n2\n```\n\n```console\n$ ls\n```\n"
    assert read_blocks(page) == [("python", 4, "1\n2\n"), ("console", 9, "$ ls\n")]
    with pytest.raises(AssertionError, match="not closed"):
        read_blocks("```python\n1\n")
