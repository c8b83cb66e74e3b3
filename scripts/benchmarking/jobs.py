"""Commands run side by side, each with a time limit, and what pytest wrote of its tests."""

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
from pathlib import Path
from typing import Any, NamedTuple

# Where one of these is not installed, the files of tests that import it are left out.
AT_WILL = ("array_api_strict", "onnx", "onnxruntime", "pandas", "polars", "safetensors")


class Outcome(NamedTuple):
    """How a command ended.

    Attributes
    ----------
    code : int or None
        Its exit code; None where the time was over.
    seconds : float
        How long it took.
    output : str
        What it said.
    """

    code: int | None
    seconds: float
    output: str


def run_side_by_side(
    commands: Mapping[str, Sequence[str]],
    at_once: int,
    until: float,
    environment: Mapping[str, str],
    tell: Callable[[str, Outcome], object],
) -> dict[str, Outcome]:
    """Run commands, so many at a time, and return how each ended.

    Parameters
    ----------
    commands : mapping of str to sequence of str
        By name.
    at_once : int
        How many run at a time.
    until : float
        When, by `time.time`, those that still run are ended.
    environment : mapping
        Their environment variables.
    tell : callable
        Called with the name and the outcome of each when it ends.
    """
    running: list[subprocess.Popen[Any]] = []
    outcomes: dict[str, Outcome] = {}
    with ThreadPoolExecutor(at_once) as pool:
        begun = {pool.submit(_run, command, until, environment, running): name for name, command in commands.items()}
        try:
            for ended in as_completed(begun):
                outcomes[begun[ended]] = ended.result()
                tell(begun[ended], ended.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                end(process)
    return outcomes


def _run(command: Sequence[str], until: float, environment: Mapping[str, str], running: list[subprocess.Popen[Any]]) -> Outcome:
    began = time.time()
    if began >= until:
        return Outcome(None, 0.0, "")
    with tempfile.TemporaryFile() as output:
        # A session of its own, so that what it started can be ended with it.
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        running.append(process)
        try:
            code: int | None = process.wait(until - began)
        except subprocess.TimeoutExpired:
            code = None
        end(process)
        output.seek(0)
        return Outcome(code, time.time() - began, output.read().decode(errors="replace"))


def end(process: subprocess.Popen[Any]) -> None:
    """End a process that has a session of its own, with all that it started.

    Parameters
    ----------
    process : subprocess.Popen
        It may have ended.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def count_tests(path: Path, way: str) -> dict[str, Any]:
    """Return how the tests of one run of pytest ended.

    Parameters
    ----------
    path : Path
        The JUnit file that it wrote.
    way : str
        The name of a way to run, as in the names of the tests that run on it.

    Returns
    -------
    dict
        How many ``passed``, ``failed`` and were ``skipped``; the same ``on`` that way; ``failures``, a line for each that
        failed; and ``left_out``, a line where a file could not be read for want of a library that it may want.
    """
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    found: dict[str, Any] = counts | {"on": dict(counts), "failures": [], "left_out": []}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
        wrong = next((child for child in case if child.tag in ("failure", "error")), None)
        message = "" if wrong is None else wrong.get("message", "")
        missing = re.search(r"No module named '(\w+)", "" if wrong is None else wrong.text or "")
        if message == "collection failure" and missing and missing[1] in AT_WILL:
            found["left_out"].append(f"{name}: {missing[1]} is not installed")
            continue
        how = "failed" if wrong is not None else "skipped" if case.find("skipped") is not None else "passed"
        found[how] += 1
        if re.search(rf"[\[-]{re.escape(way)}(?!-pretended)[\]-]", name):
            found["on"][how] += 1
        if how == "failed":
            found["failures"].append(f"{name}: {message.partition(chr(10))[0][:200]}")
    return found
