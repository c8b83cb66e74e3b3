"""The tests, the demo and the benchmark on a CUDA GPU, one after the other, within eight minutes."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.benchmarking.jobs import Outcome
    from scripts.benchmarking.places import Place

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "scripts" / "results"
WORK = {  # with the modules without which it cannot be done
    "tests": ("pytest", "hypothesis", "sklearn"),
    "demo": ("sklearn", "matplotlib", "tqdm"),
    "benchmark": ("tqdm",),
}
HINT = "scripts/gpu --rehearse does the same in small without a GPU."
FOR_TESTS = 0.45  # of the time, at most


def options(given: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for.

    Parameters
    ----------
    given : list of str, optional
        Its words; without it, those of this process.
    """
    parser = argparse.ArgumentParser(
        prog="scripts/gpu",
        description=(__doc__ or "").partition("\n")[0],
        epilog="With --python PYTHON, they run in that Python, into which nothing is installed, and not in .venv.",
    )
    parser.add_argument("--rehearse", action="store_true", help="do the same in small on the processor, to see that it works")
    parser.add_argument("--only", help=f"what to do, of {','.join(WORK)}")
    parser.add_argument("--cases", help="which networks to measure, by their sizes, such as 2-4-3-2,64-32-10")
    parser.add_argument("--rounds", type=int, default=5, help="how many, at most; without it, 5")
    parser.add_argument("--seconds", type=float, default=480.0, help="how long all of it may take; without it, 480")
    parser.add_argument("--output", type=Path, help="where the results go; without it, by the GPU's name into scripts/results")
    parser.add_argument(
        "--readme", action="store_true", help="only write README's tables again, from the results that are there"
    )
    chosen = parser.parse_args(given)
    if chosen.rounds < 1:
        parser.error(f"--rounds is {chosen.rounds}, and should be a whole number from 1 up.")
    if not chosen.seconds >= 60.0:
        parser.error(f"--seconds is {chosen.seconds:g}, and should be 60 or more.")
    chosen.work = list(WORK) if chosen.only is None else [name for name in chosen.only.split(",") if name]
    if not chosen.work or not set(chosen.work) <= WORK.keys():
        parser.error(f"--only is {chosen.only!r}, and should name some of {','.join(WORK)}.")
    chosen.whole = not (chosen.rehearse or chosen.only or chosen.cases or chosen.output or chosen.rounds < 5)
    return chosen


def missing(chosen: argparse.Namespace) -> list[str]:
    """Return the modules that this Python lacks for what is asked for, but for those that may be missing.

    Parameters
    ----------
    chosen : argparse.Namespace
        As `options` returns it.
    """
    wanted = ["numpy", "array_api_compat", *([] if chosen.rehearse else ["cupy"])]
    wanted += [module for name in chosen.work for module in WORK[name]]
    return [module for module in dict.fromkeys(wanted) if importlib.util.find_spec(module) is None]


def main() -> int:
    """Do what is asked for, and return the exit code."""
    chosen = options()
    if chosen.output:
        chosen.output = chosen.output.resolve()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    if chosen.readme:
        return write_readme()
    if lacking := missing(chosen):
        return refuse(
            f"{sys.executable} lacks {', '.join(lacking)}: install them there, or let scripts/gpu make its own .venv; {HINT}"
        )
    os.environ |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # JAX would take three quarters of the GPU's memory
    if chosen.rehearse:
        os.environ |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    import portable_bp as bp
    from scripts.benchmarking.places import GPU, REHEARSAL

    place = REHEARSAL if chosen.rehearse else GPU
    try:
        bp.select_backend(place.flag)
    except (ImportError, bp.BackendUnavailableError) as error:
        return refuse(f"{error} {HINT}")
    return do(chosen, place)


def refuse(reason: str) -> int:
    """Say why nothing is done, and return the exit code.

    Parameters
    ----------
    reason : str
        Why.
    """
    print(f"scripts/gpu: {reason}", file=sys.stderr)
    return 2


def do(chosen: argparse.Namespace, place: Place) -> int:
    """Run the tests, the demo and the benchmark, and return the exit code.

    Parameters
    ----------
    chosen : argparse.Namespace
        As `options` returns it.
    place : Place
        Where.
    """
    from scripts.benchmarking.gpu_report import as_markdown, write
    from scripts.benchmarking.places import describe, file_name, out_of_reach, title

    began = time.time()
    names = chosen.cases.split(",") if chosen.cases else [case.name for case in place.cases]
    if unknown := set(names) - {case.name for case in place.cases}:
        return refuse(f"--cases names {', '.join(sorted(unknown))}: the known ones are {', '.join(_names(place))}.")
    device = describe(place)
    part = "part-rehearsal.json" if chosen.rehearse else "part-gpu.json"
    output = chosen.output or RESULTS / (file_name(device["name"]) if chosen.whole else part)
    output.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "passed": False,
        "device": device,
        "without": out_of_reach(place),
        "tests": {},
        "cases": [],
        "left_out": {},
        "failed": [],
        "under_way": None,
    }
    write(results, output)  # before anything is measured: it may not be possible
    print(f"On {device['name']}; the results go to {output}.", flush=True)
    if chosen.rehearse:
        print(f"Wherever it says CuPy below, it is {place.flag}, and no figure means anything.", flush=True)
    for flag, reason in results["without"].items():
        print(f"Without {flag}: {reason}", flush=True)
    if {"tests", "demo"}.intersection(chosen.work):
        check(chosen, place, results, began + FOR_TESTS * chosen.seconds)
        write(results, output)
    if "benchmark" in chosen.work:
        titles = [title(case) for case in place.cases if case.name in names]
        results = benchmark(chosen, results, output, titles, began + chosen.seconds - 5.0)
        if "copy" in results:
            print(f"\n{as_markdown([results | {'passed': True}], f'portable_bp {place.flag}')}\n")
    results["passed"] = chosen.whole and not results["failed"]
    write(results, output)
    for reason in results["failed"]:
        print(f"Failed: {reason}")
    for name, reason in results["left_out"].items():
        print(f"Left out: {name}: {reason}")
    print(f"Written: {output}, after {time.time() - began:.0f} s")
    if results["passed"]:
        write_readme()
    return 1 if results["failed"] else 0


def _names(place: Place) -> list[str]:
    return list(dict.fromkeys(case.name for case in place.cases))


def check(chosen: argparse.Namespace, place: Place, results: dict[str, Any], until: float) -> None:
    """Run the tests, the example and the demo side by side, and add how they ended to the results.

    Parameters
    ----------
    chosen : argparse.Namespace
        As `options` returns it.
    place : Place
        Where.
    results : dict
        Changed.
    until : float
        When, by `time.time`, those that still run are ended.
    """
    from scripts.benchmarking.jobs import count_tests, run_side_by_side

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    at_once = max(1, min(cores, results["device"]["memory"] // 2**31 or cores))
    with tempfile.TemporaryDirectory() as folder:
        commands: dict[str, list[str]] = {}
        if "demo" in chosen.work:
            commands["portable-bp example"] = [sys.executable, "-m", "portable_bp", "example", "--backend", place.flag]
            picture = f"{folder}/loss.png"
            commands["scripts/demo"] = [sys.executable, "scripts/demo.py", "--backend", place.flag, "--picture", picture]
        files = {name: Path(folder) / f"{number}.xml" for number, name in enumerate(_test_files(chosen, place))}
        for name, path in files.items():
            quietly = ["-q", "--tb=short", "-p", "no:cacheprovider", f"--junit-xml={path}"]
            commands[name] = [sys.executable, "-m", "pytest", *quietly, name]
        print(f"{len(files)} files of tests, {len(commands) - len(files)} commands, {at_once} at a time", flush=True)
        required = {kind.needs for kind in place.kinds} - results["without"].keys()
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(max(1, cores // at_once)))
        environment = os.environ | threads | {"PORTABLE_BP_REQUIRE": ",".join(sorted(required))}
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # what else a given Python has may warn, and a warning is an error
        outcomes = run_side_by_side(commands, at_once, until, environment, _tell)
        counted = {name: count_tests(path, place.flag) for name, path in files.items() if path.exists()}
    results["commands"] = {name: outcomes[name].code == 0 for name in commands if name not in files}
    results["failed"] += [f"{name} {_ended(outcomes[name])}" for name, well in results["commands"].items() if not well]
    if files:
        add_tests(results, counted, {name: _ended(outcomes[name]) for name in files if name not in counted}, place.flag)


def _test_files(chosen: argparse.Namespace, place: Place) -> list[str]:
    if "tests" not in chosen.work:
        return []
    # Those of the estimators take longest.
    found = sorted(ROOT.glob(place.tests), key=lambda path: (path.parent.name != "estimators", str(path)))
    return [path.relative_to(ROOT).as_posix() for path in found]


def _ended(outcome: Outcome) -> str:
    return "was not finished in time" if outcome.code is None else f"ended with {outcome.code}"


def _tell(name: str, outcome: Outcome) -> None:
    said = outcome.output.strip().splitlines()
    if outcome.code == 0:
        print(f"  {name}: well, in {outcome.seconds:.0f} s", flush=True)
    else:
        print(f"  {name} {_ended(outcome)}, after {outcome.seconds:.0f} s:", *said[-60:], sep="\n    ", flush=True)


def add_tests(results: dict[str, Any], counted: dict[str, dict[str, Any]], unfinished: dict[str, str], way: str) -> None:
    """Add the tests' counts to the results, and what failed of them.

    Parameters
    ----------
    results : dict
        Changed.
    counted : dict
        As `count_tests` counts them, by file.
    unfinished : dict
        The files that have no counts, with how they ended.
    way : str
        Where tests must have run and passed.
    """
    sums = {how: sum(each[how] for each in counted.values()) for how in ("passed", "failed", "skipped")}
    on = {how: sum(each["on"][how] for each in counted.values()) for how in sums}
    listed = {kind: [line for each in counted.values() for line in each[kind]] for kind in ("failures", "left_out")}
    results["tests"] = sums | {"on": on, "unfinished": unfinished} | listed
    told = ", ".join(f"{number:,} {how} ({on[how]:,} on {way})" for how, number in sums.items())
    print(f"Tests: {told}", flush=True)
    results["failed"] += [f"{name} {how}" for name, how in unfinished.items()]
    if sums["failed"]:
        results["failed"].append(f"{sums['failed']} tests")
    if not on["passed"]:
        results["failed"].append(f"no test ran and passed on {way}")


def benchmark(
    chosen: argparse.Namespace, results: dict[str, Any], output: Path, titles: list[str], until: float
) -> dict[str, Any]:
    """Measure the cases in a process of their own, in another one where that breaks down, and return the results.

    Parameters
    ----------
    chosen : argparse.Namespace
        As `options` returns it.
    results : dict
        As they are written in the output.
    output : Path
        To which the process adds.
    titles : list of str
        Which cases.
    until : float
        When, by `time.time`, it is ended.
    """
    from scripts.benchmarking.gpu_report import write
    from scripts.benchmarking.jobs import end

    while titles:
        given = {"output": str(output), "until": until, "rehearse": chosen.rehearse, "titles": titles, "rounds": chosen.rounds}
        command = [sys.executable, "-m", "scripts.benchmarking.on_gpu", json.dumps(given)]
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        code = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(max(0.0, until - time.time()))
        finally:
            end(process)
        results = json.loads(output.read_text(encoding="utf-8"))
        if code == 0:
            break
        name = results["under_way"]
        how = "the time was over" if code is None else f"the benchmark's process ended with {code}"
        if code is not None:
            results["failed"].append(f"{name or 'before the first case'}: {how}")
        titles = titles[titles.index(name) + 1 :] if name and code is not None else []
        if name:
            results["left_out"][name] = how
        results["under_way"] = None
        write(results, output)
    return results


def write_readme() -> int:
    """Write README's part on GPUs anew, and return the exit code."""
    from scripts.benchmarking.gpu_report import put_into, read_all

    readme = ROOT / "README.md"
    readme.write_text(put_into(readme.read_text(encoding="utf-8"), read_all(RESULTS)), encoding="utf-8")
    print(f"Written: {readme}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
