"""A run of the tests, the demo and the benchmark on a CUDA GPU, or its rehearsal on the processor, within a time limit."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.benchmarking.jobs import CommandResult, Jobs, count_tests, start, wait
from scripts.benchmarking.machines import describe_device, file_name, unavailable
from scripts.benchmarking.places import GPU, Place
from scripts.benchmarking.report import as_markdown
from scripts.benchmarking.results import RESULTS, ROOT, read_gpus, update_guide, write

FOR_TESTS = 0.45  # of the time, at most


def report_gpus() -> int:
    """Write the guide's part on GPUs from the results of all GPUs, and return the exit code."""
    print(f"Written: {update_guide(GPU, read_gpus())}")
    return 0


class GpuRun:
    """What the command line asks for, where it runs, and the results so far, which the output holds too."""

    def __init__(self, chosen: argparse.Namespace, place: Place) -> None:
        self.chosen, self.place, self.began = chosen, place, time.time()
        device = describe_device(place)
        part = "part-rehearsal.json" if chosen.rehearse else "part-gpu.json"
        self.output: Path = chosen.output or RESULTS / (file_name(device["name"]) if chosen.whole else part)
        self.results: dict[str, Any] = {
            "date": datetime.date.today().isoformat(),
            "passed": False,
            "device": device,
            "without": unavailable(place),
            "tests": {},
            "cases": [],
            "fit": [],
            "populations": [],
            "rounds": {},  # that each case or fit was measured in
            "left_out": {},
            "failed": [],
            "under_way": None,
        }

    def run(self, titles: list[str]) -> int:
        """Run what is chosen, with the cases of these titles, and return the exit code."""
        chosen, place = self.chosen, self.place
        self.output.parent.mkdir(parents=True, exist_ok=True)
        write(self.results, self.output)  # before anything is measured: it may not be possible
        print(f"On {self.results['device']['name']}; the results go to {self.output}.", flush=True)
        if chosen.rehearse:
            print(f"{place.flag} replaces CuPy below, and no figure means anything.", flush=True)
        for name, reason in self.results["without"].items():
            print(f"Without {place.with_contestants(name)}: {reason}", flush=True)
        if {"tests", "demo"}.intersection(chosen.work):
            self.run_commands(self.began + FOR_TESTS * chosen.seconds)
            write(self.results, self.output)
        if "benchmark" in chosen.work:
            self.run_benchmark(titles, self.began + chosen.seconds - 5.0)
            if "copy" in self.results:
                print(f"\n{as_markdown(place, [self.results | {'passed': True}])}\n")
        failed = self.results["failed"]
        self.results["passed"] = chosen.whole and not failed
        write(self.results, self.output)
        for reason in failed:
            print(f"Failed: {reason}")
        for name, reason in self.results["left_out"].items():
            print(f"Left out: {name}: {reason}")
        print(f"Written: {self.output}, after {time.time() - self.began:.0f} s")
        if self.results["passed"]:
            report_gpus()
        return 1 if failed else 0

    def run_commands(self, until: float) -> None:
        """Run the tests, the example and the demo in parallel, and add how they ended to the results."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        at_once = max(1, min(cores, self.results["device"]["memory"] // 2**31 or cores))
        with tempfile.TemporaryDirectory() as folder:
            commands = self._demo(folder)
            files = {name: Path(folder) / f"{number}.xml" for number, name in enumerate(self.test_files())}
            print(f"{len(files)} files of tests, {len(commands)} commands, {at_once} at a time", flush=True)
            for name, path in files.items():
                quietly = ["-q", "--tb=short", "-p", "no:cacheprovider", f"--junit-xml={path}"]
                commands[name] = [sys.executable, "-m", "pytest", *quietly, name]
            ended = Jobs(commands, at_once, until, self._environment(max(1, cores // at_once))).run(_print_result)
            counted = {name: count_tests(path, self.place.flag) for name, path in files.items() if path.exists()}
        self.results["commands"] = {name: ended[name].code == 0 for name in commands if name not in files}
        self.results["failed"] += [f"{name} {ended[name]}" for name, passed in self.results["commands"].items() if not passed]
        if files:
            self.add_tests(counted, {name: str(ended[name]) for name in files if name not in counted})

    def _demo(self, folder: str) -> dict[str, list[str]]:
        if "demo" not in self.chosen.work:
            return {}
        backend = ["--backend", self.place.flag]
        return {
            "portable-bp example": [sys.executable, "-m", "portable_bp", "example", *backend],
            "scripts/demo": [sys.executable, "scripts/demo.py", *backend, "--picture", f"{folder}/loss.png"],
        }

    def test_files(self) -> list[str]:
        """Return the files of tests to run, those of the estimators first: they take longest."""
        if "tests" not in self.chosen.work:
            return []
        found = sorted(ROOT.glob(self.place.tests), key=lambda path: (path.parent.name != "estimators", str(path)))
        return [path.relative_to(ROOT).as_posix() for path in found]

    def _environment(self, threads: int) -> dict[str, str]:
        required = {kind.needs for kind in self.place.kinds} - self.results["without"].keys()
        return {
            **os.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)),
            "PORTABLE_BP_REQUIRE": ",".join(sorted(required)),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # other plugins of a given Python may warn, and a warning is an error
        }

    def add_tests(self, counted: dict[str, dict[str, Any]], unfinished: dict[str, str]) -> None:
        """Add the counts of tests by file to the results, with how files ended that have none, and what failed."""
        sums = {ended: sum(each[ended] for each in counted.values()) for ended in ("passed", "failed", "skipped")}
        on = {ended: sum(each["on"][ended] for each in counted.values()) for ended in sums}
        listed = {kind: [line for each in counted.values() for line in each[kind]] for kind in ("failures", "left_out")}
        self.results["tests"] = sums | {"on": on, "unfinished": unfinished} | listed
        flag, failed = self.place.flag, self.results["failed"]
        print(
            "Tests:", ", ".join(f"{number:,} {ended} ({on[ended]:,} on {flag})" for ended, number in sums.items()), flush=True
        )
        failed += [f"{name} {ended}" for name, ended in unfinished.items()]
        if sums["failed"]:
            failed.append(f"{sums['failed']} tests")
        if not on["passed"]:
            failed.append(f"no test ran and passed on {flag}")

    def run_benchmark(self, titles: list[str], until: float) -> None:
        """Measure in a process of its own, and continue in another one after each breakdown; it adds to the output."""
        given = {"place": self.place.name, "output": str(self.output), "until": until, "titles": titles}
        given["rounds"] = self.chosen.rounds
        while True:
            process = start([sys.executable, "-m", "scripts.benchmarking.run", json.dumps(given)], cwd=ROOT)
            code = wait(process, until)
            self.results = json.loads(self.output.read_text(encoding="utf-8"))
            name, self.results["under_way"] = self.results["under_way"], None
            if not code:  # it is done, or the time was over
                break
            reason = f"the benchmark's process ended with {code}"
            self.results["failed"].append(f"{name or 'before the first case'}: {reason}")
            if not name:
                break
            self.results["left_out"][name] = reason
            write(self.results, self.output)
        for title in titles:
            if title not in self.results["rounds"]:
                self.results["left_out"].setdefault(title, "there was no time left for it")


def _print_result(name: str, result: CommandResult) -> None:
    if result.code == 0:
        print(f"  {name}: passed, in {result.seconds:.0f} s", flush=True)
    else:
        last = result.output.strip().splitlines()[-60:]
        print(f"  {name} {result}, after {result.seconds:.0f} s:", *last, sep="\n    ", flush=True)
