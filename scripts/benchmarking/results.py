"""The files of results, and the page of the guide that is written from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarking.places import Place
from scripts.benchmarking.report import as_markdown

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "scripts" / "results"
GUIDE = ROOT / "portable_bp" / "guide" / "performance.md"


def write(results: dict[str, Any], output: Path) -> None:
    """Write results to a file, completely or not at all."""
    new = output.with_suffix(".new")
    new.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    new.replace(output)


def read_gpus(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the results of every GPU."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("nvidia-*.json"))]


def insert(text: str, place: Place, results: Sequence[dict[str, Any]]) -> str:
    """Return the guide's text with the part on a place, which stands between two comments, written from results."""
    heading = "measured" if place.is_cpu else "measured on a GPU"
    begin, end = f"<!-- {heading}: begin -->", f"<!-- {heading}: end -->"
    before, found, rest = text.partition(begin)
    _, found_too, after = rest.partition(end)
    if not found or not found_too:
        raise ValueError(f"{GUIDE.name} has no place for the results: put the lines {begin} and {end} where they should be.")
    return f"{before}{begin}\n{as_markdown(place, results)}\n{end}{after}"


def update_guide(place: Place, results: Sequence[dict[str, Any]]) -> Path:
    """Write the guide's part on a place from results, and return the page."""
    GUIDE.write_text(insert(GUIDE.read_text(encoding="utf-8"), place, results), encoding="utf-8")
    return GUIDE
