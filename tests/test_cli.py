"""The `portable-bp` command prints what it should, and its errors are one line with the right exit code."""

import os
import re
import subprocess
import sys
import warnings

import pytest

import portable_bp as bp
from portable_bp.cli import main
from portable_bp.inspection.example import article_table


def test_info_names_every_backend(capsys):
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    for row in bp.available_backends():
        line = next(line for line in shown.splitlines() if line.startswith(row.name))
        assert (row.reason or ", ".join(row.devices)) in line


@pytest.mark.parametrize("extra", [[], ["--decimals", "4"]])
def test_example_meets_the_article_and_names_its_misprint(capsys, extra):
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


def test_a_number_that_is_not_the_article_s_is_an_error():
    assert not article_table({"numpy": {"net_d1": 42.0}}, None)[1]
    column = {"net_b1": 0.1, "out_d1": 0.7201}
    table, agrees = article_table({"numpy": column}, 4)
    assert not agrees
    assert "differs from the article" in table.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["example", "--backend", "nunpy"], "unknown backend 'nunpy'"),
        (["example", "--decimals", "99"], "99 is not between 0 and 15"),
        (["exampel"], "invalid choice"),
        (["train", "data.csv", "-o", "model.safetensors"], "required: --target"),
        (["predict", "none.safetensors", "data.csv"], "none.safetensors cannot be used (No such file or directory)"),
        (["export", "none.safetensors", "model.onnx"], "none.safetensors cannot be used (No such file or directory)"),
        (["export", "none.safetensors", "model.pt"], "should end in .onnx"),
        ([], "required"),
    ],
)
def test_wrong_calls_exit_with_2(arguments, said):
    if "none.safetensors" in said:
        pytest.importorskip("safetensors")
    done = subprocess.run([sys.executable, "-m", "portable_bp", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
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


def test_info_says_what_is_wrong_with_a_library_that_is_here(tmp_path):
    for library, (body, _) in BROKEN.items():
        (tmp_path / f"{library}.py").write_text(body)
    done = run_with(tmp_path, "info")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    for library, (_, said) in BROKEN.items():
        name = library.removeprefix("array_api_")
        assert f"the library of backend '{name}' is installed, but cannot be imported" in rows[name]
        assert said in rows[name] and "reinstall it" in rows[name]
    assert done.returncode == 0 and len(rows) == 6 and not done.stderr


# CuPy without a driver, as far as the backend looks at it before it asks for GPUs.
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


def test_a_gpu_that_does_not_answer_is_one_line(tmp_path):
    for module in ("polars", "safetensors", "matplotlib", "tqdm", "onnx"):
        pytest.importorskip(module)
    library = tmp_path / "library"
    library.mkdir()
    (library / "cupy.py").write_text(WITHOUT_GPU)
    table, model = tmp_path / "table.csv", tmp_path / "model.safetensors"
    table.write_text("a,b\n" + "".join(f"{number / 7},{number / 3}\n" for number in range(40)))
    train = ["train", table, "--target", "b", "-o", model, "--epochs", "1"]
    said = f"portable-bp: backend 'auto' uses numpy: {NO_GPU}"
    for arguments, expected in (
        (train, [said]),
        ([*train, "--quiet"], []),
        ([*train, "--backend", "numpy"], []),
        (["predict", model, table], [said]),
        (["predict", model, table, "--backend", "numpy"], []),
        (["export", model, tmp_path / "model.onnx"], []),
        (["info"], []),
        (["example", "--backend", "auto"], [said]),
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


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.filterwarnings("always")
def test_warnings_are_lines_each_once(monkeypatch, capsys, quiet):
    def warn(*_):
        for _ in range(3):
            warnings.warn("two\nlines", RuntimeWarning, stacklevel=1)
        raise ValueError("it fails all the same.")

    monkeypatch.setattr("portable_bp.cli.train_table", warn)
    shown, own = warnings.showwarning, ["--quiet"] * quiet
    assert main(["train", "table.csv", "--target", "b", "-o", "model.safetensors", *own]) == 2
    assert capsys.readouterr().err.splitlines() == ["portable-bp: two lines"] * (not quiet) + [
        "portable-bp: it fails all the same."
    ]
    assert warnings.showwarning is shown
