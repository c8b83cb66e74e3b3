"""Tests all of scripts/gpu that runs without a GPU: options, counts of tests, reports, and a rehearsal of the rest."""

import contextlib
import dataclasses
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

import portable_bp as bp
from scripts import gpu
from scripts.benchmarking import measuring, run
from scripts.benchmarking.cases import ADAM, SGD, Case, draw
from scripts.benchmarking.check import WrongResultError, check
from scripts.benchmarking.contestants.floor import Floor, FloorOnGpu
from scripts.benchmarking.contestants.ours import OursCupy, OursNumpy
from scripts.benchmarking.contestants.pytorch import Torch, TorchGraph
from scripts.benchmarking.gpu_run import GpuRun
from scripts.benchmarking.jobs import Jobs, count_tests
from scripts.benchmarking.machines import file_name
from scripts.benchmarking.measuring import (
    ARRAYS,
    HOST_DATA,
    measure_case,
    measure_copy,
    measure_fit,
    measure_population,
    prepare,
)
from scripts.benchmarking.places import GPU, REHEARSAL
from scripts.benchmarking.report import NOTHING, as_markdown, summarize
from scripts.benchmarking.results import GUIDE, insert, read_gpus
from scripts.benchmarking.rounds import EVENTS, HOST, Turn, measure, ratio, steps_within, time_limit
from scripts.benchmarking.run import fallbacks
from tests.support.pretended_cupy import pretending

ROOT = Path(__file__).parents[2]
TITLES = [item.title for item in REHEARSAL.items]
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
    for library in ("tqdm", "sklearn"):
        pytest.importorskip(library)
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
def test_a_case_is_measured_on_cupy(cupy, monkeypatch, precision, least, most):
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "0")  # a network of this size would be trained in full precision
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
    [(-11, [["a", "b"], ["a", "b"]], ["a: the benchmark's process ended with -11"]), (None, [["a", "b"]], [])],
)
def test_a_benchmark_that_breaks_down_continues_with_the_next_case(code, begun, failed, tmp_path, monkeypatch):
    """Unless the time is over."""
    output, met = tmp_path / "results.json", []

    class Process:
        def __init__(self, command, **_):
            met.append(json.loads(command[-1])["titles"])
            first = {"under_way": met[0][0], "left_out": {}, "failed": [], "cases": [], "rounds": {}}
            found = first if len(met) == 1 else json.loads(output.read_text()) | {"rounds": {"b": 1}}
            output.write_text(json.dumps(found), encoding="utf-8")

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
    late = dict.fromkeys("ab", "there was no time left for it")
    assert found["left_out"] == ({"a": "the benchmark's process ended with -11"} if code else late)


@pytest.fixture
def measured(monkeypatch):
    """Replace all measurements and stop the clock, and return a list of what is measured, each with the time that it has."""
    met = []

    def measure(item, place, until, earlier):
        met.append((item.title, until))
        if item.title == "digits":
            raise ValueError("no digits")
        seconds = {"step": {"floor": {HOST: [float(len(met))]}}}
        return {"title": item.title, "seconds": seconds, "left_out": {"JAX jit": "no"}, "warnings": []}

    replaced = {"measure_case": measure, "measure_fit": measure, "measure_copy": lambda place: {}}
    replaced["measure_population"] = lambda item, place: measure(item, place, run.time.time() + 1.0, None)
    for name, function in replaced.items():
        monkeypatch.setattr(run, name, function)
    monkeypatch.setattr(run, "time", types.SimpleNamespace(time=lambda: 0.0))
    monkeypatch.setattr(run.report, "summarize", lambda measured, place: "")
    return met


def run_on_gpu(path, seconds, **found):
    kinds = {"cases": [], "fit": [], "populations": []}
    empty = {"without": {}, "rounds": {}, "left_out": {}, "failed": [], "under_way": None, **kinds}
    path.write_text(json.dumps(empty | found), encoding="utf-8")
    run.run_on_gpu(dataclasses.replace(REHEARSAL, rounds=2), path, TITLES, run.LEAST + seconds)
    return json.loads(path.read_text(encoding="utf-8"))


def test_everything_is_measured_once_before_anything_is_measured_again(tmp_path, measured):
    found = run_on_gpu(tmp_path / "results.json", 60.0)
    again = [title for title in TITLES if title != "digits"]
    assert [title for title, _ in measured] == TITLES + again
    shares = [60.0 / (len(TITLES) - at) for at in range(len(TITLES))] + [60.0] * len(again)
    timed = [pair for pair in zip(measured, shares, strict=True) if "population" not in pair[0][0]]
    assert [share for (_, share), _ in timed] == pytest.approx([share for _, share in timed])
    assert found["failed"] == ["digits: no digits"] and found["left_out"] == {"digits": "no digits"}
    assert found["rounds"] == dict.fromkeys(again, 2) and found["under_way"] is None
    assert found["cases"][0]["seconds"] == {"step": {"floor": {HOST: [1.0, 1.0 + len(TITLES)]}}}
    assert found["cases"][0]["left_out"] == {"JAX jit": "no"}


def test_a_run_continues_where_another_process_broke_down(tmp_path, measured):
    first, second, *others = TITLES
    run_on_gpu(tmp_path / "results.json", 60.0, rounds={first: 1}, left_out={second: "ended with -11", "digits": "no"})
    others.remove("digits")
    assert [title for title, _ in measured] == [*others, first, *others]


def test_nothing_is_measured_without_time(tmp_path, measured):
    found = run_on_gpu(tmp_path / "results.json", -1.0)
    assert measured == [] and found["rounds"] == {}


def test_what_takes_too_long_is_interrupted():
    caught = []

    def stubborn():
        while len(caught) < 2:
            with contextlib.suppress(TimeoutError):
                try:
                    time.sleep(60.0)
                finally:
                    caught.append(1)
        raise ValueError("it replaced the error")

    with pytest.raises(TimeoutError, match=r"it took more than 0\.1 s"), time_limit(0.1):
        stubborn()
    with pytest.raises(ValueError, match="another"), time_limit(60.0):
        raise ValueError("another")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_import_is_not_interrupted(tmp_path, monkeypatch):
    """A library that was imported in part may never be imported again."""
    (tmp_path / "slow_library.py").write_text("import time\ntime.sleep(0.8)\nready = True", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TimeoutError), time_limit(0.5):
        importlib.import_module("slow_library")
        time.sleep(60.0)
    assert sys.modules.pop("slow_library").ready


def test_a_contestant_that_takes_too_long_is_left_out_and_not_tried_again():
    made = []

    class Slow(Floor):
        name, at_least = "slow", 0.5

        def __init__(self, case, data):
            made.append(case)
            time.sleep(60.0)

    place = dataclasses.replace(REHEARSAL, kinds=(OursNumpy, Slow, Floor), turn=0.001, rounds=1)
    case = Case((5, 4, 3), 6, 8)
    first = measure_case(case, place, time.time())
    again = measure_case(case, place, time.time() + 60.0, first)
    assert len(made) == 1
    for found in (first, again):
        assert found["left_out"] == {"slow": "it took more than 0.5 s"}
        assert found["seconds"]["step"].keys() == {"portable_bp numpy", "floor"}
        assert {name: len(found["fits"][name]) for name in ("first", "second", "fewer")} == {
            "first": 1,
            "second": 1,
            "fewer": 1,
        }
    assert first["distance_to_float64"].keys() == {"portable_bp numpy", "floor"}
    assert again["distance_to_float64"] == {}


def test_a_contestant_may_leave_after_some_rounds():
    assert ratio([1.0, 4.0, 9.0], [2.0, 8.0]) == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("pieces", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_a_cuda_graph_trains_the_same_network(pieces, precision, monkeypatch):
    """The capture and the replay of the graph are pretended, by calls of the step."""
    torch = pytest.importorskip("torch")

    class Pretended(TorchGraph):
        device = "cpu"

        def __init__(self, case, data):
            graph = types.SimpleNamespace(replay=lambda: Torch._step(self, *self.inputs))
            monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
            super().__init__(case, data)

    stream = types.SimpleNamespace(wait_stream=lambda other: None)
    for name, pretended in {
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": contextlib.nullcontext,
        "graph": contextlib.nullcontext,
    }.items():
        monkeypatch.setattr(torch.cuda, name, pretended)
    case = Case((5, 4, 3), 6, 8, pieces, precision)
    assert check(Pretended(case, draw(case))) < 0.05


def test_a_rehearsal_says_that_there_is_no_cuda_graph():
    assert REHEARSAL.with_contestants("torch:cuda") == "torch:cuda (CUDA graph)"


@pytest.mark.parametrize("at", range(3))
def test_fits_of_estimators_are_measured_on_cupy(cupy, at):
    pytest.importorskip("sklearn")
    task = REHEARSAL.fits[at]
    draw = task.draw
    task = dataclasses.replace(task, draw=lambda: tuple(each[:60] for each in draw()), options=task.options | {"max_iter": 2})
    found = measure_fit(task, GPU)
    assert found["left_out"] == {} and found["seconds"].keys() == {HOST_DATA, ARRAYS, "scikit-learn"}
    again = measure_fit(task, GPU, earlier=found | {"left_out": {"scikit-learn": "it took more than 5 s"}})
    assert again["seconds"].keys() == {HOST_DATA, ARRAYS}


@pytest.mark.parametrize("at", range(3))
def test_populations_are_measured_on_cupy_and_reported(cupy, at):
    pytest.importorskip("jax")
    task = REHEARSAL.populations[at]
    measured = measure_population(task, dataclasses.replace(GPU, kinds=REHEARSAL.kinds)) | {"warnings": []}
    assert measured["seconds"].keys() == {"portable_bp cupy", "JAX vmap in scan"}
    assert f"A step of 8 networks {task.case.name} with sgd" in summarize(measured, GPU)
    found = results() | {"populations": [measured | {"warnings": ["it is slow"]}]}
    text = as_markdown(GPU, [found])
    assert f"\n- A step of 8 networks {task.case.name} with sgd" in text and f"{task.title} warned: it is slow" in text


def test_fits_that_learn_something_else_are_refused(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(measuring, "LOSS_TOLERANCE", 0.0)
    with pytest.raises(WrongResultError, match="is at a loss of"):
        measure_fit(REHEARSAL.fits[1], REHEARSAL)


def test_fixed_costs_and_fits_of_estimators_are_reported():
    found = results()
    found["cases"][0]["fits"] = {"steps": 8, "fewer_steps": 2, "first": [10.0, 6.0], "second": [5.0, 5.0], "fewer": [2.0, 2.0]}
    found["cases"][0]["left_out"] = {"torch.compile": "it took more than 9 s"}
    fit = {"title": "digits", "estimator": "MLPClassifier", "dtype": "float64", "left_out": {}, "warnings": []}
    found["fit"] = [fit | {"seconds": {HOST_DATA: [1.0], ARRAYS: [0.5], "scikit-learn": [2.0]}}]
    found["fit"] += [fit | {"seconds": {ARRAYS: [0.5]}, "left_out": {"scikit-learn": "it took more than 5 s"}}]
    text = as_markdown(GPU, [found])
    assert "| 2-4-3-2, 4, sgd, tf32 | 8 | 10,000.0 ms | 5,000.0 ms | 500.0 ms | 6,000.0 ms | 1,000.0 ms |" in text
    assert "float64: 1,000.0 ms on host data, 0.5 of scikit-learn's; 500.0 ms on arrays on the device, 0.25 of" in text
    assert "float64: 500.0 ms on arrays on the device\n" in text
    assert "2-4-3-2, 4, sgd, tf32, without torch.compile: it took more than 9 s" in text
    assert "digits, without scikit-learn: it took more than 5 s" in text


def test_old_results_are_reported_without_what_they_lack():
    text = as_markdown(GPU, [results()])
    assert "JAX scan" not in text.partition("Without")[0] and "fixed cost" not in text


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
    assert "| 2-4-3-2, 4, sgd, tf32 | 2,000.0 ms | 0.5 | 2.00 | **2.00** [0.15] JAX jit | 1.2e-04 |" in text
    assert "NVIDIA Abacus" in text and "1,200 tests passed, 300 of them on CuPy" in text
    assert (
        "reads and writes 4 GB a second" in text
        and "Without jax:gpu (JAX jit, JAX scan, portable_bp jax:gpu): it sees none" in text
    )


def test_a_run_that_failed_is_not_reported():
    assert as_markdown(GPU, []) == as_markdown(GPU, [results(passed=False)]) == NOTHING
    assert "The code was that of commit abc, and has changed since." in as_markdown(GPU, [results(passed=False, commit="abc")])
    begin, end = "<!-- measured on a GPU: begin -->", "<!-- measured on a GPU: end -->"
    assert insert(f"before {begin} old {end} after", GPU, []) == f"before {begin}\n{NOTHING}\n{end} after"


def test_the_guide_holds_the_newest_results():
    text = GUIDE.read_text(encoding="utf-8")
    assert insert(text, GPU, read_gpus()) == text
