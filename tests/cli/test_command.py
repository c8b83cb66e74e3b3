"""The command `portable-bp` prints what it should, shows the guide, and exits with the right code; errors are one line."""

import os
import pydoc
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

import portable_bp as bp
from portable_bp.cli import main
from portable_bp.guide import PAGES, Page, read_page
from portable_bp.inspection.example import article_table

PACKAGE, ROOT = Path(bp.__file__).parent, Path(__file__).parents[2]


def test_info_lists_every_backend(capsys):
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    for row in bp.available_backends():
        line = next(line for line in shown.splitlines() if line.startswith(row.name))
        assert (row.reason or ", ".join(row.devices)) in line


@pytest.mark.parametrize("extra", [[], ["--decimals", "4"]])
def test_example_matches_the_article_and_marks_its_misprint(capsys, extra):
    assert main(["example", *extra]) == 0
    lines = capsys.readouterr().out.splitlines()
    marked = [line for line in lines if "<-" in line]
    assert len(marked) == 1 and marked[0].startswith("net_d1") and "misprint of the article" in marked[0]
    header = next(line for line in lines if line.startswith("value")).split()
    usable = [row.name for row in bp.available_backends() if row.usable]
    assert header == ["value", "article", *usable]
    numbers = [line.split() for line in lines if line.startswith(("net", "out", "delta", "dE", "E_total"))]
    assert len(numbers) == 9 + 9 + 9 + 26 + 1
    if extra:
        assert next(row for row in numbers if row[0] == "net_d1")[1:3] == ["0.9441", "0.9440"]


def test_example_on_one_backend(capsys):
    pytest.importorskip("array_api_strict")
    assert main(["example", "--backend", "strict:device2"]) == 0
    assert "strict:device2" in capsys.readouterr().out


def test_numbers_that_differ_from_the_article_are_marked():
    assert not article_table({"numpy": {"net_d1": 42.0}}, None)[1]
    column = {"net_b1": 0.1, "out_d1": 0.7201}
    table, agrees = article_table({"numpy": column}, 4)
    assert not agrees
    assert "differs from the article" in table.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["example", "--backend", "nunpy"], "unknown backend 'nunpy'"),
        (["example", "--decimals", "99"], "'99' is not an integer between 0 and 15"),
        (["example", "--decimals", "four"], "'four' is not an integer between 0 and 15"),
        (["guide", "tutrial"], "unknown page of the guide 'tutrial'"),
        (["guide", "tutrial"], "did you mean 'tutorial'?"),
        (["exampel"], "invalid choice"),
        (["train", "data.csv", "-o", "model.safetensors"], "required: --target"),
        (["predict", "none.safetensors", "data.csv"], "none.safetensors cannot be used (No such file or directory)"),
        (["export", "none.safetensors", "model.onnx"], "none.safetensors cannot be used (No such file or directory)"),
        (["export", "none.safetensors", "model.pt"], "should end in .onnx"),
        ([], "required"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments, message):
    if "none.safetensors" in message:
        pytest.importorskip("safetensors")
    done = subprocess.run([sys.executable, "-m", "portable_bp", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cupy", "torch", "jax", "array_api_strict"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from portable_bp.cli import main
main(["info"])
"""


def test_info_says_what_to_install_in_every_row():
    shown = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True).stdout
    rows = dict(line.split(maxsplit=1) for line in shown.splitlines()[1:])
    for name, extra in {"cupy": "cuda13", "torch": "torch", "jax": "jax", "strict": "test"}.items():
        assert re.search(
            rf"not usable: \w+ is needed here and is not installed: .*pip install 'portable-bp\[{extra}\]'", rows[name]
        )
    assert "usable on cpu" in rows["numpy"]


BROKEN = {
    "cupy": ("raise OSError('libcuda.so: cannot open\\nshared object file')", "libcuda.so: cannot open shared object file"),
    "torch": ("import no_such_dependency", "No module named 'no_such_dependency'"),
    "jax": ("raise ImportError('half of it')", "half of it"),
    "array_api_strict": ("1 / 0", "division by zero"),
}


def test_info_reports_libraries_that_cannot_be_imported(tmp_path):
    for library, (body, _) in BROKEN.items():
        (tmp_path / f"{library}.py").write_text(body)
    done = run_with(tmp_path, "info")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    for library, (_, message) in BROKEN.items():
        name = library.removeprefix("array_api_")
        assert f"the library of backend '{name}' is installed, but cannot be imported" in rows[name]
        assert message in rows[name] and "reinstall it" in rows[name]
    assert done.returncode == 0 and len(rows) == 7 and not done.stderr


# A CuPy without a driver, with all that the backend uses before it counts GPUs.
WITHOUT_GPU = """
import sys, types
__version__ = "14.2.0"
class ndarray: pass
class CUDARuntimeError(RuntimeError): pass
def getDeviceCount(): raise CUDARuntimeError("cudaErrorInsufficientDriver")
cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=getDeviceCount))
sys.modules["array_api_compat.cupy"] = types.ModuleType("array_api_compat.cupy")
"""
NO_GPU = (
    "CuPy is installed, but finds no GPU that works (cudaErrorInsufficientDriver): check the driver, or use another backend."
)


def run_with(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    environment.pop("PORTABLE_BP_BACKEND", None)
    command = [sys.executable, "-m", "portable_bp", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_gpu_that_does_not_respond_is_reported_in_one_line(tmp_path):
    for module in ("polars", "safetensors", "matplotlib", "tqdm", "onnx"):
        pytest.importorskip(module)
    library = tmp_path / "library"
    library.mkdir()
    (library / "cupy.py").write_text(WITHOUT_GPU)
    table, model = tmp_path / "table.csv", tmp_path / "model.safetensors"
    table.write_text("a,b\n" + "".join(f"{number / 7},{number / 3}\n" for number in range(40)))
    train = ["train", table, "--target", "b", "-o", model, "--epochs", "1"]
    message = f"portable-bp: backend 'auto' uses numpy: {NO_GPU}"
    for arguments, expected in (
        (train, [message]),
        ([*train, "--quiet"], []),
        ([*train, "--backend", "numpy"], []),
        (["predict", model, table], [message]),
        (["predict", model, table, "--backend", "numpy"], []),
        (["export", model, tmp_path / "model.onnx"], []),
        (["info"], []),
        (["example", "--backend", "auto"], [message]),
        (["example", "--backend", "cupy"], [f"portable-bp: {NO_GPU}"]),
    ):
        done = run_with(library, *arguments)
        lines = [
            line
            for line in re.split(r"[\r\n]+", done.stderr)
            if line.strip() and "batch/s" not in line and "batch]" not in line
        ]
        assert lines == expected, (arguments, done.stderr)
        assert done.returncode == (2 if expected == [f"portable-bp: {NO_GPU}"] else 0)


def test_an_interruption_while_libraries_load_is_told(monkeypatch, capsys):
    class Interrupts:
        def find_spec(self, name, path=None, target=None):
            if name == "portable_bp.cli.command":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "portable_bp.cli.command", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupts(), *sys.meta_path])
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "portable-bp: interrupted; nothing was written.\n"


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.filterwarnings("always")
def test_each_warning_is_printed_once_as_a_line(monkeypatch, capsys, quiet):
    def warn(*_):
        for _ in range(3):
            warnings.warn("two\nlines", RuntimeWarning, stacklevel=1)
        raise ValueError("it fails.")

    monkeypatch.setattr("portable_bp.cli.tables.train_table", warn)
    shown, own = warnings.showwarning, ["--quiet"] * quiet
    assert main(["train", "table.csv", "--target", "b", "-o", "model.safetensors", *own]) == 2
    assert capsys.readouterr().err.splitlines() == ["portable-bp: two lines"] * (not quiet) + ["portable-bp: it fails."]
    assert warnings.showwarning is shown


def test_every_file_of_the_guide_is_a_page():
    assert sorted(f"{name}.md" for name in PAGES) == sorted(path.name for path in (PACKAGE / "guide").glob("*.md"))


def test_guide_lists_every_page_with_its_title_and_first_sentence(capsys):
    assert main(["guide"]) == 0
    _, _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PAGES)
    for line, page in zip(lines, map(read_page, PAGES), strict=True):
        assert page.text.startswith(f"# {page.title}\n")
        assert line.endswith(f"  {page.title}. {page.summary}") and page.summary.endswith(".")


def test_the_summary_of_a_page_is_its_first_sentence_without_links():
    text = "# Networks\n\nA `Network` of [any\nsize](networks.md#sizes), trained in 2.5 s. It goes on.\n\nMore.\n"
    page = Page("networks", text)
    assert (page.title, page.summary) == ("Networks", "A `Network` of any size, trained in 2.5 s.")
    assert Page("networks", "# Networks\n\nOne sentence.\n").summary == "One sentence."


@pytest.mark.parametrize("name", PAGES)
def test_guide_prints_a_page_as_markdown(capsys, name):
    assert main(["guide", name]) == 0
    assert capsys.readouterr().out.rstrip("\n") == (PACKAGE / "guide" / f"{name}.md").read_text("utf-8").rstrip("\n")


def test_guide_shows_a_page_in_the_pager(monkeypatch):
    shown = []
    monkeypatch.setattr(pydoc, "pager", shown.append)
    assert main(["guide", "backends"]) == 0
    assert shown == [read_page("backends").text]


def test_guide_is_read_from_a_zip_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as package:
        for path in [path for pattern in ("*.py", "*.md") for path in PACKAGE.rglob(pattern)]:
            package.write(path, path.relative_to(PACKAGE.parent))
    command = [sys.executable, "-c", "import portable_bp.cli as cli; print(cli.__file__); cli.main(['guide', 'backends'])"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "package.zip"), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True)
    origin, _, page = done.stdout.partition("\n")
    assert origin.startswith(str(tmp_path / "package.zip"))
    assert page.startswith("# ") and page.rstrip("\n") == read_page("backends").text.rstrip("\n")


def test_a_wheel_holds_the_pages_and_the_marker_of_types(tmp_path):
    pytest.importorskip("setuptools", "77")
    sources = tmp_path / "sources"
    shutil.copytree(PACKAGE, sources / "portable_bp", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=sources, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"portable_bp/guide/{name}.md" for name in PAGES} | {"portable_bp/py.typed"} <= set(names)
    assert not [name for name in names if not name.startswith(("portable_bp/", "portable_bp-"))]
