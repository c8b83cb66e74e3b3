"""What can be tested of scripts/gpu without a GPU: its judgment, its report, and a rehearsal of the rest."""

import dataclasses
import json
import logging
import math
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

import portable_bp as bp
from scripts import gpu
from scripts.benchmarking import gpu_report
from scripts.benchmarking.cases import SGD, Case, draw
from scripts.benchmarking.contestants.floor import FloorOnGpu
from scripts.benchmarking.contestants.ours import OursCupy
from scripts.benchmarking.jobs import count_tests, run_side_by_side
from scripts.benchmarking.on_gpu import by_both_clocks, by_clock, copy, fewest_bytes, measure_case, overheard, prepared
from scripts.benchmarking.places import GPU, REHEARSAL, file_name, title
from scripts.benchmarking.rounds import Turn, fewer_steps
from tests.support.pretended_cupy import pretending

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

@pytest.mark.parametrize("way", ["cupy", "cupy-pretended", "numpy"])
def test_that_runs(way):
    assert way != "numpy", "it is numpy"

@pytest.mark.parametrize(("number", "way"), [(1, "cupy")])
def test_that_is_skipped(number, way):
    pytest.skip("no")

def test_of_cupy_that_runs_elsewhere():
    pass
"""


def results(**changes):
    host, events = gpu_report.HOST, gpu_report.EVENTS
    step = {
        "portable_bp cupy": {host: [2.0, 2.0], events: [1.0, 3.0]},
        "PyTorch eager": {host: [9.0, 9.0], events: [4.0, 4.0]},
        "JAX jit": {host: [1.0, 1.0]},
    }
    case = {
        "name": "2-4-3-2",
        "batch": 4,
        "steps": 64,
        "optimizer": "sgd",
        "precision": "tf32",
        "left_out": {"floor": "no"},
        "warnings": [],
    }
    device = {"name": "NVIDIA Abacus", "driver": "5", "CUDA runtime": "13.0", "python": "3", "libraries": {"cupy": "14"}}
    return {
        "date": "2026-01-02",
        "passed": True,
        "device": device,
        "without": {"jax:gpu": "it sees none"},
        "tests": {"passed": 1200, "on": {"passed": 300}, "left_out": []},
        "copy": {"bytes_read_and_written": 4e9, "seconds": {host: [2.0], events: [1.0]}},
        "cases": [case | {"seconds": {"step": step}, "distance_to_float64": {"portable_bp cupy": 0.00012}}],
        "left_out": {},
    } | changes


def test_a_rehearsal(tmp_path):
    """All but the tests and the demo, in small: it measures, writes and tells, and leaves the README alone."""
    readme, output = (ROOT / "README.md").read_bytes(), tmp_path / "new" / "rehearsal.json"
    command = [sys.executable, "scripts/gpu.py", "--rehearse", "--only", "benchmark", "--cases", "2-4-3-2", "--rounds", "1"]
    told = subprocess.run([*command, "--output", str(output)], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = json.loads(output.read_text(encoding="utf-8"))
    assert [case["name"] for case in found["cases"]] == ["2-4-3-2"]
    assert {"portable_bp numpy", "floor"} <= found["cases"][0]["seconds"]["step"].keys()
    assert found["failed"] == [] and not found["passed"] and found["under_way"] is None
    assert "| 2-4-3-2, 4, sgd, float32 |" in told
    assert (ROOT / "README.md").read_bytes() == readme


@pytest.fixture
def cupy(monkeypatch):
    """A pretended CuPy, on whose GPU a second takes two."""
    with pretending():
        import cupy

        stream = types.SimpleNamespace(record=lambda event: event)
        events = {
            "Event": lambda: types.SimpleNamespace(at=time.perf_counter(), synchronize=lambda: None),
            "get_current_stream": lambda: stream,
            "get_elapsed_time": lambda began, ended: 2000.0 * (ended.at - began.at),
        }
        for name, pretended in events.items():
            monkeypatch.setattr(cupy.cuda, name, pretended, raising=False)
        monkeypatch.setattr(cupy, "__spec__", types.SimpleNamespace())  # by which it is seen to be installed
        yield cupy
    prepared.cache_clear()


def test_it_is_told_where_a_step_is_not_played(cupy, monkeypatch):
    def refuse(self, *arrays):
        raise RuntimeError("NVRTC_ERROR_COMPILATION")

    monkeypatch.setattr(cupy.ElementwiseKernel, "__call__", refuse)
    network = bp.Network([3, 2], backend="cupy", seed=0)
    with overheard() as told:
        network.fit(np.eye(3), np.ones((3, 2)), epochs=4)
    assert told == ["a step cannot be played: RuntimeError('NVRTC_ERROR_COMPILATION')"]
    assert logging.getLogger("portable_bp").handlers == []


@pytest.mark.parametrize(("precision", "least", "most"), [("float32", 0.0, 1e-4), ("tf32", 1e-5, 1e-3), ("mixed", 1e-4, 8e-3)])
def test_what_is_measured_on_cupy(cupy, precision, least, most):
    place = dataclasses.replace(GPU, turn=0.001, epoch=0.01, copied=1000)
    case = Case((5, 4, 3), 6, 8, SGD, precision)
    found = measure_case(case, place, [OursCupy, FloorOnGpu], math.inf, 2)
    assert found["left_out"] == {} and least <= found["distance_to_float64"]["portable_bp cupy"] < most
    for who in ("portable_bp cupy", "floor"):
        took = found["seconds"]["step"][who]
        assert len(took[gpu_report.HOST]) == 2
        assert all(one < other for one, other in zip(took[gpu_report.HOST], took[gpu_report.EVENTS], strict=True))
    copied = copy(place, 2)
    assert copied["bytes_read_and_written"] == 8000 and len(copied["seconds"][gpu_report.EVENTS]) == 2


def test_the_products_of_the_floor_are_those_of_a_step(cupy):
    case = Case((5, 4, 3), 6, 8)
    floor = FloorOnGpu(case, draw(case))
    floor.steps(1)
    for first, second, out in floor.products:
        np.testing.assert_allclose(out.get(), first.get() @ second.get(), rtol=1e-5)
    assert len(floor.calls) == 5


def test_without_a_gpu_it_says_so_at_once(tmp_path):
    command = [sys.executable, "scripts/gpu.py", "--output", str(tmp_path / "none.json")]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert ended.returncode == 2 and not list(tmp_path.iterdir())
    assert "cupy" in ended.stderr.lower() and "--rehearse" in ended.stderr and ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--only", "test"], "--only is 'test', and should name some of tests,demo,benchmark"),
        (["--rounds", "0"], "--rounds is 0"),
        (["--seconds", "nan"], "--seconds is nan, and should be 60 or more"),
    ],
)
def test_what_the_command_does_not_understand(given, said, capsys):
    with pytest.raises(SystemExit) as caught:
        gpu.options(given)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_only_a_whole_run_is_written_by_the_name_of_the_gpu():
    assert gpu.options([]).whole
    for given in (["--rehearse"], ["--cases", "2-4-3-2"], ["--only", "tests"], ["--rounds", "1"], ["--output", "x.json"]):
        assert not gpu.options(given).whole
    assert file_name("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3.json"
    assert file_name("Tesla V100-SXM2-16GB") == "nvidia-tesla-v100-sxm2-16gb.json"


def test_tests_are_counted_as_pytest_ran_them(tmp_path):
    (tmp_path / "test_some.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "test_other.py").write_text("import polars.nothing\nimport scripts.nothing", encoding="utf-8")
    written = tmp_path / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={written}", "-c", os.devnull]
    command += ["--continue-on-collection-errors"]
    subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True)
    found = count_tests(written, "cupy")
    assert found["on"] == {"passed": 1, "failed": 0, "skipped": 1}
    assert (found["passed"], found["skipped"]) == (3, 1)
    assert any("test_that_runs[numpy]: AssertionError: it is numpy" in line for line in found["failures"])
    assert [line.rpartition(": ")[2] for line in found["left_out"]] == ["polars is not installed"]


@pytest.mark.parametrize(
    ("passed", "failed", "unfinished", "said"),
    [
        (3, 0, {}, []),
        (0, 0, {}, ["no test ran and passed on cupy"]),
        (3, 2, {}, ["2 tests"]),
        (3, 0, {"tests/test_a.py": "was not finished in time"}, ["tests/test_a.py was not finished in time"]),
    ],
)
def test_the_tests_must_have_run_on_cupy_and_passed(passed, failed, unfinished, said):
    counts = {"passed": passed, "failed": failed, "skipped": 1}
    found = {"failed": []}
    gpu.add_tests(found, {"tests/test_b.py": counts | {"on": counts, "failures": [], "left_out": []}}, unfinished, "cupy")
    assert found["failed"] == said and found["tests"]["passed"] == passed


def test_files_of_tests_are_run_side_by_side(tmp_path, monkeypatch):
    files = [tmp_path / f"test_{name}.py" for name in "ab"]
    for path in files:
        path.write_text(TESTS.replace('way != "numpy"', "way"), encoding="utf-8")
    monkeypatch.setattr(gpu, "_test_files", lambda *_: [str(path) for path in files])
    found = {"device": {"memory": 0}, "without": {"torch": "", "jax": ""}, "failed": []}
    gpu.check(gpu.options(["--only", "tests"]), REHEARSAL, found, time.time() + 300.0)
    assert found["failed"] == [] and found["tests"]["unfinished"] == {}
    assert (found["tests"]["passed"], found["tests"]["skipped"]) == (8, 2)
    assert found["tests"]["on"] == {"passed": 2, "failed": 0, "skipped": 0}


def test_what_takes_too_long_is_ended():
    commands = {"slow": [sys.executable, "-c", "print('so far', flush=True); import time; time.sleep(60)"]}
    commands |= {"wrong": [sys.executable, "-c", "raise SystemExit(3)"], "late": [sys.executable, "-c", ""]}
    told = []
    outcomes = run_side_by_side(commands, 2, time.time() + 2.0, os.environ, lambda name, _: told.append(name))
    assert {name: outcome.code for name, outcome in outcomes.items()} in ({"slow": None, "wrong": 3, "late": 0},)
    assert outcomes["slow"].output.strip() == "so far" and 1.0 < outcomes["slow"].seconds < 20.0
    assert sorted(told) == sorted(commands)


@pytest.mark.parametrize(
    ("code", "begun", "failed"),
    [(-11, [["a", "b"], ["b"]], ["a: the benchmark's process ended with -11"]), (None, [["a", "b"]], [])],
)
def test_a_benchmark_that_breaks_down_goes_on_with_the_next_case(code, begun, failed, tmp_path, monkeypatch):
    """Unless it was the time that ended it."""
    output, met = tmp_path / "results.json", []

    class Process:
        def __init__(self, command, **_):
            met.append(json.loads(command[-1])["titles"])
            first = {"under_way": met[0][0], "left_out": {}, "failed": [], "cases": []}
            output.write_text(json.dumps(first if len(met) == 1 else json.loads(output.read_text())), encoding="utf-8")

        def wait(self, seconds):
            if len(met) == 1 and code is None:
                raise subprocess.TimeoutExpired("", seconds)
            return code if len(met) == 1 else 0

    monkeypatch.setattr(gpu.subprocess, "Popen", Process)
    monkeypatch.setattr("scripts.benchmarking.jobs.end", lambda process: None)
    found = gpu.benchmark(gpu.options([]), {}, output, ["a", "b"], time.time())
    assert met == begun and found["failed"] == failed and found["under_way"] is None
    assert found["left_out"] == {"a": "the benchmark's process ended with -11" if code else "the time was over"}


def test_both_clocks_are_kept():
    turn = Turn(lambda steps: time.sleep(0.01), 2, 0, lambda: lambda: 3.0)
    host, events = by_both_clocks(turn)
    assert 0.005 <= host < 1.0 and events == 1.5
    assert by_clock([(1.0, 2.0), (3.0, 4.0)]) == {"by the host's clock": [1.0, 3.0], "by CUDA events": [2.0, 4.0]}
    assert by_clock([(1.0, None)]) == {"by the host's clock": [1.0]}


def test_an_epoch_is_whole_where_there_is_time():
    assert fewer_steps(1.0, lambda steps: None, 100) == 100
    assert 5 <= fewer_steps(0.05, lambda steps: time.sleep(0.002 * steps), 100) < 100


def test_the_fewest_bytes_of_a_step():
    case = dataclasses.replace(REHEARSAL.cases[0], sizes=(3, 2), batch=5, pieces=SGD)
    assert fewest_bytes(case) == 4 * (5 * (3 + 2) + 2 * (3 * 2 + 2))


def test_every_case_has_a_name_of_its_own_and_those_with_targets_are_measured():
    assert len({title(case) for case in GPU.cases}) == len(GPU.cases)
    assert gpu_report.TARGETS.keys() <= {case.name for case in GPU.cases}
    assert {case.precision for case in REHEARSAL.cases} == {"float32"}


def test_a_ratio_is_by_events_where_both_have_them():
    told = gpu_report.as_markdown([results()])
    assert "| 2-4-3-2, 4, sgd, tf32 | 2,000.0 ms | 0.5 [0.5] |  | **2.00** [1] |  | 1.2e-04 |" in told
    assert "NVIDIA Abacus" in told and "1,200 tests passed, 300 of them on CuPy" in told
    assert "reads and writes 4 GB a second" in told and "Without jax:gpu: it sees none" in told


def test_what_failed_or_was_not_measured_is_not_told():
    assert gpu_report.as_markdown([]) == gpu_report.as_markdown([results(passed=False)]) == gpu_report.NOTHING
    text = gpu_report.put_into(f"before {gpu_report.BEGIN} old {gpu_report.END} after", [])
    assert text == f"before {gpu_report.BEGIN}\n{gpu_report.NOTHING}\n{gpu_report.END} after"


def test_the_readme_holds_the_newest_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert gpu_report.put_into(text, gpu_report.read_all(gpu.RESULTS)) == text
