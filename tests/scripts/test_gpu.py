"""Tests all of scripts/gpu that runs without a GPU: options, counts of tests, reports, and a rehearsal of the rest."""

import dataclasses
import json
import logging
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
from scripts.benchmarking.cases import SGD, Case, draw
from scripts.benchmarking.contestants.floor import FloorOnGpu
from scripts.benchmarking.contestants.ours import OursCupy
from scripts.benchmarking.gpu_run import GpuRun
from scripts.benchmarking.jobs import Jobs, count_tests
from scripts.benchmarking.machines import file_name
from scripts.benchmarking.measuring import measure_case, measure_copy, prepare
from scripts.benchmarking.places import GPU, REHEARSAL
from scripts.benchmarking.report import NOTHING, as_markdown
from scripts.benchmarking.results import GUIDE, insert, read_gpus
from scripts.benchmarking.rounds import EVENTS, HOST, Turn, measure, steps_within
from scripts.benchmarking.run import fallbacks
from tests.support.pretended_cupy import pretending

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

@pytest.mark.parametrize("flag", ["cupy", "cupy-pretended", "numpy"])
def test_that_runs(flag):
    assert flag != "numpy", "it is numpy"

@pytest.mark.parametrize(("number", "flag"), [(1, "cupy")])
def test_that_is_skipped(number, flag):
    pytest.skip("no")

def test_of_cupy_that_runs_elsewhere():
    pass
"""


def results(**changes):
    step = {
        "portable_bp cupy": {HOST: [2.0, 2.0], EVENTS: [1.0, 3.0]},
        "PyTorch eager": {HOST: [9.0, 9.0], EVENTS: [4.0, 4.0]},
        "JAX jit": {HOST: [1.0, 1.0]},
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
        "copy": {"bytes_read_and_written": 4e9, "seconds": {HOST: [2.0], EVENTS: [1.0]}},
        "cases": [case | {"seconds": {"step": step}, "distance_to_float64": {"portable_bp cupy": 0.00012}}],
        "left_out": {},
    } | changes


def test_a_rehearsal(tmp_path):
    """The benchmark on a small scale: it measures, writes and prints, and leaves the guide alone."""
    pytest.importorskip("tqdm")
    guide, output = GUIDE.read_bytes(), tmp_path / "new" / "rehearsal.json"
    command = [sys.executable, "scripts/gpu.py", "--rehearse", "--only", "benchmark", "--cases", "2-4-3-2", "--rounds", "1"]
    text = subprocess.run([*command, "--output", str(output)], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = json.loads(output.read_text(encoding="utf-8"))
    assert [case["name"] for case in found["cases"]] == ["2-4-3-2"]
    assert {"portable_bp numpy", "floor"} <= found["cases"][0]["seconds"]["step"].keys()
    assert found["failed"] == [] and not found["passed"] and found["under_way"] is None
    assert "| 2-4-3-2, 4, sgd, float32 |" in text
    assert GUIDE.read_bytes() == guide


@pytest.fixture
def cupy(monkeypatch):
    """A pretended CuPy whose events show twice the time that has passed."""
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
        monkeypatch.setattr(cupy, "__spec__", types.SimpleNamespace())  # by which it counts as installed
        yield cupy
    prepare.cache_clear()


def test_the_reason_why_a_step_is_not_replayed_is_collected(cupy, monkeypatch):
    def refuse(self, *arrays):
        raise RuntimeError("NVRTC_ERROR_COMPILATION")

    monkeypatch.setattr(cupy.ElementwiseKernel, "__call__", refuse)
    network = bp.Network([3, 2], backend="cupy", seed=0)
    with fallbacks() as reasons:
        network.fit(np.eye(3), np.ones((3, 2)), epochs=4)
    assert reasons == ["a step cannot be replayed: RuntimeError('NVRTC_ERROR_COMPILATION')"]
    assert logging.getLogger("portable_bp").handlers == []


@pytest.mark.parametrize(("precision", "least", "most"), [("float32", 0.0, 1e-4), ("tf32", 1e-5, 1e-3), ("mixed", 1e-4, 8e-3)])
def test_a_case_is_measured_on_cupy(cupy, precision, least, most):
    place = dataclasses.replace(GPU, kinds=(OursCupy, FloorOnGpu), turn=0.001, epoch=0.01, copied=1000, rounds=2)
    case = Case((5, 4, 3), 6, 8, SGD, precision)
    found = measure_case(case, place)
    assert found["left_out"] == {} and least <= found["distance_to_float64"]["portable_bp cupy"] < most
    for who in ("portable_bp cupy", "floor"):
        took = found["seconds"]["step"][who]
        assert len(took[HOST]) == 2
        assert all(one < other for one, other in zip(took[HOST], took[EVENTS], strict=True))
    copied = measure_copy(place)
    assert copied["bytes_read_and_written"] == 8000 and len(copied["seconds"][EVENTS]) == 2


def test_the_floor_computes_the_products_of_a_step(cupy):
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
    ("given", "message"),
    [
        (["--only", "test"], "--only is 'test', but must name some of tests,demo,benchmark"),
        (["--rounds", "0"], "--rounds is 0"),
        (["--seconds", "nan"], "--seconds is nan, but must be 60 or more"),
    ],
)
def test_wrong_options_are_refused(given, message, capsys):
    with pytest.raises(SystemExit) as caught:
        gpu.options(given)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_only_a_whole_run_is_written_to_the_file_of_the_gpu():
    assert gpu.options([]).whole
    for given in (["--rehearse"], ["--cases", "2-4-3-2"], ["--only", "tests"], ["--rounds", "1"], ["--output", "x.json"]):
        assert not gpu.options(given).whole
    assert file_name("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3.json"
    assert file_name("Tesla V100-SXM2-16GB") == "nvidia-tesla-v100-sxm2-16gb.json"


def test_the_tests_that_pytest_ran_are_counted(tmp_path):
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
    ("passed", "failed", "unfinished", "message"),
    [
        (3, 0, {}, []),
        (0, 0, {}, ["no test ran and passed on cupy"]),
        (3, 2, {}, ["2 tests"]),
        (3, 0, {"tests/test_a.py": "was not finished in time"}, ["tests/test_a.py was not finished in time"]),
    ],
)
def test_the_tests_must_have_run_on_cupy_and_passed(passed, failed, unfinished, message):
    counts = {"passed": passed, "failed": failed, "skipped": 1}
    run = GpuRun(gpu.options(["--rehearse"]), REHEARSAL)
    run.place = GPU
    run.add_tests({"tests/test_b.py": counts | {"on": counts, "failures": [], "left_out": []}}, unfinished)
    assert run.results["failed"] == message and run.results["tests"]["passed"] == passed


def test_files_of_tests_run_in_parallel(tmp_path, monkeypatch):
    files = [tmp_path / f"test_{name}.py" for name in "ab"]
    for path in files:
        path.write_text(TESTS.replace('flag != "numpy"', "flag"), encoding="utf-8")
    run = GpuRun(gpu.options(["--rehearse", "--only", "tests"]), REHEARSAL)
    monkeypatch.setattr(run, "test_files", lambda: [str(path) for path in files])
    run.results["without"] = {"torch": "", "jax": ""}
    run.run_commands(time.time() + 300.0)
    found = run.results
    assert found["failed"] == [] and found["tests"]["unfinished"] == {}
    assert (found["tests"]["passed"], found["tests"]["skipped"]) == (8, 2)
    assert found["tests"]["on"] == {"passed": 2, "failed": 0, "skipped": 0}


def test_a_command_that_takes_too_long_is_killed():
    commands = {"slow": [sys.executable, "-c", "print('so far', flush=True); import time; time.sleep(60)"]}
    commands |= {"wrong": [sys.executable, "-c", "raise SystemExit(3)"], "late": [sys.executable, "-c", ""]}
    names = []
    ended = Jobs(commands, 2, time.time() + 2.0, os.environ).run(lambda name, _: names.append(name))
    assert {name: result.code for name, result in ended.items()} == {"slow": None, "wrong": 3, "late": 0}
    assert ended["slow"].output.strip() == "so far" and 1.0 < ended["slow"].seconds < 20.0
    assert sorted(names) == sorted(commands)


@pytest.mark.parametrize(
    ("code", "begun", "failed"),
    [(-11, [["a", "b"], ["b"]], ["a: the benchmark's process ended with -11"]), (None, [["a", "b"]], [])],
)
def test_a_benchmark_that_breaks_down_continues_with_the_next_case(code, begun, failed, tmp_path, monkeypatch):
    """Unless the time is over."""
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

    run = GpuRun(gpu.options(["--rehearse", "--output", str(output)]), REHEARSAL)
    monkeypatch.setattr("scripts.benchmarking.jobs.subprocess.Popen", Process)
    monkeypatch.setattr("scripts.benchmarking.jobs.kill", lambda process: None)
    run.run_benchmark(["a", "b"], time.time())
    found = run.results
    assert met == begun and found["failed"] == failed and found["under_way"] is None
    assert found["left_out"] == {"a": "the benchmark's process ended with -11" if code else "the time was over"}


def test_both_clocks_are_kept():
    host = Turn(lambda steps: time.sleep(0.01), 2, 0)
    both = host._replace(stopwatch=lambda: lambda: 3.0)
    seconds = both.time()
    assert 0.005 <= seconds["by the host's clock"] < 1.0 and seconds["by CUDA events"] == 1.5
    found = measure({"host": host, "both": both}, 2, "rounds")
    assert found["host"].keys() == {"by the host's clock"}
    assert found["both"].keys() == {"by the host's clock", "by CUDA events"} and found["both"]["by CUDA events"] == [1.5, 1.5]


def test_an_epoch_is_whole_if_there_is_time():
    assert steps_within(1.0, lambda steps: None, 100) == 100
    assert 5 <= steps_within(0.05, lambda steps: time.sleep(0.002 * steps), 100) < 100


def test_the_fewest_bytes_of_a_step():
    case = dataclasses.replace(REHEARSAL.cases[0], sizes=(3, 2), batch=5, pieces=SGD)
    assert case.fewest_bytes == 4 * (5 * (3 + 2) + 2 * (3 * 2 + 2))


def test_every_case_has_its_own_title_and_those_with_targets_are_measured():
    assert len({case.title for case in GPU.cases}) == len(GPU.cases)
    assert GPU.targets.keys() <= {case.name for case in GPU.cases}
    assert {case.precision for case in REHEARSAL.cases} == {"float32"}


def test_a_ratio_is_taken_by_events_where_both_have_them():
    text = as_markdown(GPU, [results()])
    assert "| 2-4-3-2, 4, sgd, tf32 | 2,000.0 ms | 0.5 [0.5] |  | **2.00** [1] |  | 1.2e-04 |" in text
    assert "NVIDIA Abacus" in text and "1,200 tests passed, 300 of them on CuPy" in text
    assert "reads and writes 4 GB a second" in text and "Without jax:gpu: it sees none" in text


def test_a_run_that_failed_is_not_reported():
    assert as_markdown(GPU, []) == as_markdown(GPU, [results(passed=False)]) == NOTHING
    assert "The code was that of commit abc, and has changed since." in as_markdown(GPU, [results(passed=False, commit="abc")])
    begin, end = "<!-- measured on a GPU: begin -->", "<!-- measured on a GPU: end -->"
    assert insert(f"before {begin} old {end} after", GPU, []) == f"before {begin}\n{NOTHING}\n{end} after"


def test_the_guide_holds_the_newest_results():
    text = GUIDE.read_text(encoding="utf-8")
    assert insert(text, GPU, read_gpus()) == text
