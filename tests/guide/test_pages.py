"""The pages are up to date: links lead somewhere, quoted messages exist, and every name and option is described."""

import inspect
import re

import pytest

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.initializers import INITIALIZERS
from portable_bp.algorithm.losses import LOSSES
from portable_bp.algorithm.optimizers import OPTIMIZERS
from portable_bp.cli import main
from tests.guide.pages import GUIDE, PAGES, read_blocks
from tests.support.optional_libraries import PACKAGE

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def read(path):
    return path.read_text(encoding="utf-8")


def without_code(text):
    for block in read_blocks(text):
        text = text.replace(block.source, "")
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(text):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(read(path)))
    for link in links:
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name} links to {link}"
        assert not anchor or anchor in anchors(read(target)), f"{path.name} links to {link}"


@every_page
def test_no_page_names_a_path_of_one_machine(path):
    assert not re.search(r"(?<![\w.])/(work|tmp|home|root|opt|Users)/", read(path))


@pytest.mark.parametrize("path", [path for path in PAGES if path.parent == GUIDE], ids=lambda path: path.name)
def test_a_page_begins_with_a_title_and_says_what_it_is_for(path):
    assert re.match(r"# .+\n\nThis page ", read(path))


def test_messages_that_the_page_of_errors_quotes_exist():
    sources = "\n".join(read(path) for path in PACKAGE.rglob("*.py"))
    sources = re.sub(r'"\s*\n\s*f?"', "", sources)  # literals that continue on the next line
    quoted = re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", without_code(read(GUIDE / "errors.md")))
    assert len(quoted) > 8
    for message in quoted:
        for part in filter(None, (part.strip() for part in message.split("..."))):
            assert part in sources, part


@pytest.mark.parametrize("names", [ACTIVATIONS, LOSSES, OPTIMIZERS], ids=["activations", "losses", "optimizers"])
def test_every_piece_with_a_name_is_described(names):
    text = read(GUIDE / "networks.md")
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_initializer_is_described():
    text = read(GUIDE / "networks.md")
    assert [name for name in INITIALIZERS if f'"{name.replace("_normal", "_uniform")}"' not in text] == []
    assert '"_normal"' in text


@pytest.mark.parametrize("function", [bp.Network.__init__, bp.Network.fit], ids=["Network", "fit"])
def test_every_parameter_of_a_network_is_described(function):
    text = read(GUIDE / "networks.md")
    names = [name for name in inspect.signature(function).parameters if name not in ("self", "x", "target")]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_every_public_name_is_on_a_page():
    text = "\n".join(map(read, PAGES))
    names = [name for name in bp.__all__ if name not in ("Backend", "__version__")]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
    methods = [name for name in vars(bp.Network) if not name.startswith("_")]
    assert [name for name in methods if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("command", ["train", "predict"])
def test_every_option_of_the_commands_for_tables_is_described(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", capsys.readouterr().out)) - {"--help", "--output"}
    text = read(GUIDE / "tables.md")
    assert len(options) > 1 and [option for option in sorted(options) if option not in text] == []
