"""The worked example in the tutorial is what the package writes now."""

from portable_bp.guide import read_page
from scripts.tutorial import BEGIN, END, with_example


def test_the_worked_example_is_fresh():
    page = read_page("tutorial").text
    assert page.count(BEGIN) == page.count(END) == 1
    assert with_example(page) == page, "run scripts/tutorial.py"
    assert "0.7199" in page.partition(BEGIN)[2].partition(END)[0]
