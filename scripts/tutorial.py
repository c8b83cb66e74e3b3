"""Write the worked example into the guide's tutorial, and take the pictures of its page: .venv/bin/python scripts/tutorial.py.

The pictures need the extra ``browser`` and Chromium; without them, only the text is written.
"""

import re
import shutil
from pathlib import Path

import portable_bp as bp
from portable_bp.guide import read_page
from portable_bp.inspection import Trace, article

PAGE = Path(bp.__file__).parent / "guide" / "tutorial.md"
PICTURE = Path(__file__).parent / "results" / "explain.png"
BEGIN, END = "<!-- The worked example: scripts/tutorial.py writes it. -->", "<!-- The end of the worked example. -->"


def article_trace() -> Trace:
    """Return the trace of the article's example, rounded as the article does."""
    network = bp.Network.from_weights(article.WEIGHTS, backend="numpy", dtype="float64")
    return network.trace(article.INPUTS, article.TARGET, decimals=4)


def with_example(page: str) -> str:
    """Return the tutorial with the worked example as it is now."""
    example = article_trace().to_markdown().partition("\n\n")[2]  # the page has a title of its own
    found = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    return found.sub(lambda _: f"{BEGIN}\n\n{example}\n{END}", page)


def take_picture(path: Path) -> None:
    """Take a picture of the page: the step that computes the deltas of layer c, and the paths of a weight."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.set_content(article_trace().to_html())
        page.locator("#steps button", has_text="δc").first.click()
        page.select_option("#followed", label="w_b1: a_1 → b_1")
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    PAGE.write_text(with_example(read_page("tutorial").text), encoding="utf-8")
    if shutil.which("chromium"):
        take_picture(PICTURE)
