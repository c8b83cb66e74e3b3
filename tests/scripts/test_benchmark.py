"""Tests the benchmark's arithmetic, checks and reports; the measured times are never asserted."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts import benchmark
from scripts.benchmarking import fits, report
from scripts.benchmarking.cases import ADAM, CASES, SGD, draw
from scripts.benchmarking.check import WrongResultError, check
from scripts.benchmarking.contestants import EVERYONE, REHEARSED, why_unavailable
from scripts.benchmarking.growth import slope
from scripts.benchmarking.places import CPU
from scripts.benchmarking.results import GUIDE, RESULTS, insert
from scripts.benchmarking.rounds import Turn, by_host, measure, quartiles, ratio, steps_lasting
from scripts.benchmarking.run import merge_case, report_cpu, start_results

ROOT = Path(__file__).parents[2]
CHECKED = [kind for kind in dict.fromkeys([*EVERYONE, *REHEARSED]) if kind.name != "torch.compile"]
SMALL = replace(CASES[0], sizes=(5, 4, 3), batch=6, steps=8)


def results(ours, theirs, case="784-128-10", optimizer="sgd"):
    step = {"portable_bp numpy": ours, "JAX jit": theirs}
    timed = {"name": case, "batch": 128, "steps": 512, "optimizer": optimizer, "seconds": {"step": step}, "left_out": {}}
    machine = {"processor": "abacus", "threads": 2, "libraries": {"numpy": "2"}, "python": "3", "blas": "beads"}
    return {"date": "2026-01-02", "whole": True, "machine": machine, "cases": [timed]}


def test_a_ratio_is_taken_round_by_round():
    """Rounds that are slow for both weigh no more than the others: the ratio of medians would be 2."""
    assert ratio([1.0, 4.0, 30.0], [2.0, 1.0, 60.0]) == [0.5, 0.5, 2.25]
    assert quartiles([3.0, 1.0, 2.0]) == [1.5, 2.0, 2.5]


def test_everyone_takes_a_warm_turn_in_every_round():
    calls = []
    turns = {name: Turn(lambda steps, name=name: calls.append((name, steps)), 5, 2) for name in "abc"}
    seconds = by_host(measure(turns, 4, "rounds"))
    assert {name: len(took) for name, took in seconds.items()} == {"a": 4, "b": 4, "c": 4}
    for first in range(0, 24, 6):
        assert sorted(calls[first : first + 6]) == [(name, steps) for name in "abc" for steps in (2, 5)]
    assert all(warm == (name, 2) for warm, (name, _) in zip(calls[::2], calls[1::2], strict=True))


def test_a_turn_lasts_as_long_as_intended_not_counting_the_first_step():
    first = [1.0]
    assert 3 <= steps_lasting(0.08, lambda steps: time.sleep(0.01 * steps + (first.pop() if first else 0.0)), 1000) <= 10
    assert steps_lasting(10.0, lambda steps: None, 7) == 7


def test_the_slope_is_taken_above_the_overhead():
    sizes = [10.0, 100.0, 1000.0]
    assert slope(sizes, [5.0 + 2.0 * size**1.05 for size in sizes], 5.0) == pytest.approx(1.05)


@pytest.mark.parametrize("pieces", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("kind", CHECKED, ids=lambda kind: kind.name)
def test_contestants_agree_with_float64(kind, pieces):
    if reason := why_unavailable(kind):
        pytest.skip(reason)
    case = replace(SMALL, pieces=pieces)
    assert check(kind(case, draw(case))) < 1e-3


@pytest.mark.parametrize("kind", [kind for kind in CHECKED if not why_unavailable(kind) and kind.name != "floor"])
def test_a_contestant_that_learns_something_else_is_refused(kind):
    case = replace(SMALL, pieces=ADAM)
    data = draw(case)
    contestant = kind(case, data)
    contestant.data = data._replace(target=(data.target + 1) % 3)
    with pytest.raises(WrongResultError, match=f"{contestant.name} is .* away from float64"):
        check(contestant)


def test_a_contestant_that_predicts_something_else_is_refused():
    contestant = EVERYONE[0](SMALL, draw(SMALL))
    predict = contestant.predict
    contestant.predict = lambda x: predict(x) + 0.01
    with pytest.raises(WrongResultError, match="has predictions that are"):
        check(contestant)


def test_the_guide_shows_the_targets_that_were_missed():
    old = "before <!-- measured: begin --> old <!-- measured: end --> after"
    text = insert(old, CPU, [results([4.0, 4.0], [4.0, 6.0])])
    assert text.startswith("before ") and text.endswith(" after") and " old " not in text
    assert "| 784-128-10, 128, sgd, 512 | 4,000.0 ms | **0.83** [0.8] |" in text
    assert "2026-01-02" in text and "abacus" in text
    assert "| 0.5 [0.8] |" in report.as_markdown(CPU, [results([3.0], [6.0])])
    assert "| 0.62 [0.85] |" in report.as_markdown(CPU, [results([3.1], [5.0], optimizer="adam")])
    assert "[0.800: missed]" in report.as_text(results([4.1], [5.0]))
    with pytest.raises(ValueError, match="has no place for the results"):
        insert("nothing", CPU, [results([1.0], [1.0])])


def test_fits_that_end_at_other_losses_are_refused(monkeypatch):
    data = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    task = fits.FitTask("small", lambda: data, {"max_iter": 3})
    monkeypatch.setattr(fits, "TASKS", (task,))
    (found,) = fits.fit_times(1, 2)
    assert found["threads"] == 1 and {len(took) for took in found["seconds"].values()} == {2}
    assert found["seconds"].keys() == {"portable_bp", "scikit-learn", "products"}
    models = {who: task.make_fit(module, data)(1) for who, module in fits.modules().items()}
    curves = {who: model.loss_curve_ for who, model in models.items()}
    fits.require_same_losses(curves, 1e-9)
    for other in (curves["portable_bp"] * 2, np.multiply(curves["portable_bp"], 1.001)):
        with pytest.raises(WrongResultError, match=f"portable_bp is at a loss of .* after {len(other)} epochs"):
            fits.require_same_losses(curves | {"portable_bp": other}, 1e-9)


def test_fits_are_reported():
    found = results([3.0], [6.0])
    seconds = {"portable_bp": [1.0], "scikit-learn": [1.6], "products": [0.8]}
    found["fit"] = [{"task": "digits at default settings", "threads": 2, "seconds": seconds}]
    assert "float64, 2 threads: 1,000.0 ms, **0.62** [0.45] of scikit-learn's" in report.as_markdown(CPU, [found])
    assert "products alone take 0.50 of scikit-learn's" in report.as_text(found)


@pytest.mark.parametrize("held", [None, "[]", "{", json.dumps({"whole": False})])
def test_the_guide_takes_only_the_results_of_a_whole_run(held, tmp_path, capsys):
    before, path = GUIDE.read_text(encoding="utf-8"), tmp_path / "cpu.json"
    if held is not None:
        path.write_text(held, encoding="utf-8")
    assert report_cpu(path) == 2
    assert str(path) in capsys.readouterr().out
    assert GUIDE.read_text(encoding="utf-8") == before


def test_the_guide_holds_the_newest_results():
    newest = json.loads((RESULTS / "cpu.json").read_text(encoding="utf-8"))
    text = GUIDE.read_text(encoding="utf-8")
    assert insert(text, CPU, [newest]) == text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--cases", "2-4-3"], "--cases is '2-4-3', but must name some of 2-4-3-2,"),
        (["--only", ","], "--only is ','"),
        (["--rounds", "0"], "--rounds is 0, but must be a whole number from 1 up"),
        (["--threads", "-1"], "--threads is -1"),
    ],
)
def test_wrong_options_are_refused(given, message, capsys):
    with pytest.raises(SystemExit) as caught:
        benchmark.options(given)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_knows_the_cases():
    """It has their names without importing what would start threads."""
    assert tuple(case.name for case in CASES) == benchmark.CASES


def test_a_partial_run_is_not_whole():
    assert benchmark.options([]).whole
    for given in (["--quick"], ["--cases", "2-4-3-2"], ["--only", "step"], ["--rounds", "5"]):
        chosen = benchmark.options(given)
        assert not chosen.whole and chosen.output.name == "part.json"


def test_a_part_of_a_whole_run_can_be_measured_again(tmp_path, monkeypatch):
    """The other results are kept, unless the run is quick or the machine is another one."""
    output = tmp_path / "cpu.json"
    there = results([3.0], [4.0])
    output.write_text(json.dumps(there), encoding="utf-8")
    monkeypatch.setattr("scripts.benchmarking.run.describe_processor", lambda threads: there["machine"])
    found = start_results(benchmark.options(["--only", "epoch", "--output", str(output)]))
    merge_case(found["cases"], results([], [])["cases"][0] | {"seconds": {"epoch": {"floor": [1.0]}}})
    assert found["whole"] and found["machine"] == there["machine"]
    assert [case["seconds"] for case in found["cases"]] == [there["cases"][0]["seconds"] | {"epoch": {"floor": [1.0]}}]
    merge_case(found["cases"], results([1.0], [1.0], optimizer="adam")["cases"][0])
    assert len(found["cases"]) == 2
    assert start_results(benchmark.options(["--quick", "--output", str(output)]))["cases"] == []
    monkeypatch.setattr("scripts.benchmarking.run.describe_processor", lambda threads: {"processor": "another"})
    assert start_results(benchmark.options(["--only", "epoch", "--output", str(output)]))["cases"] == []


def test_a_quick_run(tmp_path):
    """It measures one network in one round, prints a report and draws a picture."""
    for library in ("matplotlib", "threadpoolctl", "tqdm"):
        pytest.importorskip(library)
    output = tmp_path / "new" / "quick.json"
    command = [sys.executable, "scripts/benchmark.py", "--quick", "--cases", "2-4-3-2", "--rounds", "1"]
    command += ["--only", "step,import", "--threads", "1", "--output", str(output)]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = json.loads(output.read_text(encoding="utf-8"))
    assert not found["whole"] and found["import"]["unasked"] == []
    for case in found["cases"]:
        assert {"portable_bp numpy", "floor"} <= case["seconds"]["step"].keys()
        assert all(len(took) == 1 and took[0] > 0.0 for took in case["seconds"]["step"].values())
        assert all(np.isfinite(distance) for distance in case["distance_to_float64"].values())
    assert "portable_bp numpy" in text and "scikit-learn" in text
    assert (tmp_path / "new" / "quick-steps.png").stat().st_size > 10_000
