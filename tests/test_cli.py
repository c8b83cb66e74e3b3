import subprocess
import sys

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
def test_example_meets_the_article_and_names_its_slip(capsys, extra):
    assert main(["example", *extra]) == 0
    lines = capsys.readouterr().out.splitlines()
    marked = [line for line in lines if "<-" in line]
    assert len(marked) == 1 and marked[0].startswith("net_d1") and "slip of the article" in marked[0]
    header = next(line for line in lines if line.startswith("value")).split()
    usable = [row.name for row in bp.available_backends() if row.usable]
    assert header == ["value", "article", *usable]
    numbers = [line.split() for line in lines if line.startswith(("net", "out", "delta", "dE", "E_total"))]
    assert len(numbers) == 9 + 9 + 9 + 26 + 1
    if extra:
        assert next(row for row in numbers if row[0] == "net_d1")[1:3] == ["0.9441", "0.9440"]


def test_example_on_one_backend(capsys):
    assert main(["example", "--backend", "strict:device2"]) == 0
    assert "strict:device2" in capsys.readouterr().out


def test_a_number_that_is_not_the_article_s_is_an_error():
    assert not article_table({"numpy": {"net_d1": 42.0}}, None)[1]
    column = {"net_b1": 0.1, "out_d1": 0.7201}
    table, agrees = article_table({"numpy": column}, 4)
    assert not agrees
    assert "not what the article prints" in table.splitlines()[-1]


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
    done = subprocess.run([sys.executable, "-m", "portable_bp", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
