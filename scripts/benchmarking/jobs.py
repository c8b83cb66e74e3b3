"""Commands run in parallel, each with a time limit, and the counts of tests that pytest has written."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

# A file of tests that imports one of these is left out if the library is not installed.
OPTIONAL = ("array_api_strict", "onnx", "onnxruntime", "pandas", "polars", "safetensors")


class CommandResult(NamedTuple):
    """How a command ended; the exit code is None if it ran out of time."""

    code: int | None
    seconds: float
    output: str

    def __str__(self) -> str:
        return "was not finished in time" if self.code is None else f"ended with {self.code}"


@dataclass
class Jobs:
    """Commands by name, of which a number run at a time until ``until``, a ``time.time()``."""

    commands: Mapping[str, Sequence[str]]
    at_once: int
    until: float
    environment: Mapping[str, str]
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)

    def run(self, report: Callable[[str, CommandResult], object]) -> dict[str, CommandResult]:
        """Run all commands, report each when it ends, and return how each ended."""
        results: dict[str, CommandResult] = {}
        with ThreadPoolExecutor(self.at_once) as pool:
            started = {pool.submit(self._run, command): name for name, command in self.commands.items()}
            try:
                for ended in as_completed(started):
                    results[started[ended]] = ended.result()
                    report(started[ended], ended.result())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in self.processes:
                    kill(process)
        return results

    def _run(self, command: Sequence[str]) -> CommandResult:
        began = time.time()
        if began >= self.until:
            return CommandResult(None, 0.0, "")
        with tempfile.TemporaryFile() as output:
            process = start(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.environment)
            self.processes.append(process)
            code = wait(process, self.until)
            output.seek(0)
            return CommandResult(code, time.time() - began, output.read().decode(errors="replace"))


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a command in a session of its own, so that what it starts can be killed with it."""
    return subprocess.Popen(command, start_new_session=True, **options)


def wait(process: subprocess.Popen[Any], until: float) -> int | None:
    """Wait for a process, kill what is left of its session, and return its exit code, or None if the time is over."""
    code = None
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(max(0.0, until - time.time()))
    finally:
        kill(process)
    return code


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a process that has a session of its own, and all that it started; it may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def count_tests(path: Path, flag: str) -> dict[str, Any]:
    """Return how the tests in a JUnit file of pytest ended.

    The result holds how many ``passed``, ``failed`` and were ``skipped``; the same counts in ``on`` for the tests whose names
    hold the backend's flag; in ``failures`` a line for each that failed; and in ``left_out`` a line for each file that could
    not be imported without an optional library.
    """
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    found: dict[str, Any] = counts | {"on": dict(counts), "failures": [], "left_out": []}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
        wrong = next((child for child in case if child.tag in ("failure", "error")), None)
        message = "" if wrong is None else wrong.get("message", "")
        missing = re.search(r"No module named '(\w+)", "" if wrong is None else wrong.text or "")
        if message == "collection failure" and missing and missing[1] in OPTIONAL:
            found["left_out"].append(f"{name}: {missing[1]} is not installed")
            continue
        ended = "failed" if wrong is not None else "skipped" if case.find("skipped") is not None else "passed"
        found[ended] += 1
        if re.search(rf"[\[-]{re.escape(flag)}(?!-pretended)[\]-]", name):
            found["on"][ended] += 1
        if ended == "failed":
            found["failures"].append(f"{name}: {message.partition(chr(10))[0][:200]}")
    return found
