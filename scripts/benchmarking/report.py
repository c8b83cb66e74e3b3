"""What is told: a table of all that was measured, and the README's shorter one, both made from the results alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scripts.benchmarking.rounds import quartiles, ratio

OURS = "portable_bp numpy"
PEERS = ("PyTorch eager", "torch.compile", "JAX jit", "scikit-learn", "floor")
TARGETS = {
    "2-4-3-2": {"PyTorch eager": 0.08, "JAX jit": 1.0, "scikit-learn": 0.04},
    "64-32-10": {"PyTorch eager": 0.10, "JAX jit": 0.6, "scikit-learn": 0.06},
    "784-128-10": {"PyTorch eager": 0.60, "JAX jit": 0.6, "scikit-learn": 0.4, "floor": 1.25},
    "784-512-512-10": {"PyTorch eager": 0.90, "JAX jit": 0.85, "scikit-learn": 0.8, "floor": 1.25},
    "1024-4096-4096-1024": {"PyTorch eager": 0.92, "JAX jit": 0.85, "scikit-learn": 0.85, "floor": 1.08},
}
ADAM_ALLOWANCE = 1.3  # Adam may take so much more of each
# An epoch of another of ours against the loop that it takes the place of: at most this.
EPOCH_TARGETS = {"portable_bp torch": ("PyTorch eager", 1.0), "portable_bp jax": ("JAX jit", 1 / 1.5)}
# A fit of our estimator against one of scikit-learn's: at most this.
FIT_TARGETS = {"digits at default settings": 0.5, "784-128-10 on 20,000 samples": 0.6}
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def target(case: dict[str, Any], mine: str, peer: str, kind: str) -> float | None:
    """Return what the ratio of one of ours to a peer should be, at most, or None where nothing was set.

    Parameters
    ----------
    case : dict
        One of the results' cases.
    mine, peer : str
        Who is held against whom.
    kind : str
        "step", "epoch", or another thing that was timed.
    """
    if kind == "step" and mine == OURS:
        wanted = TARGETS.get(case["name"], {}).get(peer)
        return wanted and wanted * (ADAM_ALLOWANCE if case["optimizer"] == "adam" else 1.0)
    theirs, wanted = EPOCH_TARGETS.get(mine, (None, None))
    return wanted if kind == "epoch" and peer == theirs else None


def as_text(results: dict[str, Any]) -> str:
    """Return all that was measured, as a table.

    Parameters
    ----------
    results : dict
        As they are written to JSON.
    """
    lines = [_machine(results)]
    for case in results["cases"]:
        lines.append(f"\n{case['name']}, batches of {case['batch']}, {case['optimizer']}, in microseconds: median (quartiles)")
        for kind, seconds in case["seconds"].items():
            lines.append(f"  {kind}")
            for name, took in seconds.items():
                told = [f"    {name:<18}{_spread(took, 1e6, ',.1f'):<36}"]
                for mine in (OURS, *EPOCH_TARGETS):
                    wanted = target(case, mine, name, kind)
                    if mine in seconds and (wanted is not None or (mine == OURS and name != OURS)):
                        told.append(f"{mine} / it: {_spread_of(ratio(seconds[mine], took), 1.0, '.3f')}")
                        told.append(_judged(ratio(seconds[mine], took)[1], wanted))
                lines.append(" ".join(told).rstrip())
        lines += [f"  without {name}: {reason}" for name, reason in case["left_out"].items()]
    return "\n".join([*lines, "", *_fits(results), *_sentences(results)])


def as_markdown(results: dict[str, Any]) -> str:
    """Return the README's table.

    Parameters
    ----------
    results : dict
        As they are written to JSON.
    """
    lines = [
        f"{_machine(results)} Each figure is the median of {_rounds(results)} rounds. A step is one of an epoch on NumPy, "
        "checks, shuffling and gathering in; the ratios are its time to theirs, so less is better. PyTorch, JAX and "
        "scikit-learn take batches that are ready. The floor is the step's matrix products alone. What was aimed at is in "
        "brackets; a ratio that misses it is bold.",
        "",
        f"| network, batch, optimizer, steps | a step | {' | '.join(PEERS)} |",
        f"| --- | --: |{' --: |' * len(PEERS)}",
    ]
    for case in results["cases"]:
        seconds = case["seconds"]["step"]
        cells = [_cell(case, seconds, OURS, peer, "step") for peer in PEERS]
        took = short(quartiles(seconds[OURS])[1])
        what = f"{case['name']}, {case['batch']}, {case['optimizer']}, {case['steps']:,}"
        lines.append(f"| {what} | {took} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_epochs(results), "", *_fits(results), *_sentences(results)])


def put_into(readme: str, results: dict[str, Any]) -> str:
    """Return the README's text with the table between its marks.

    Parameters
    ----------
    readme : str
        As it is.
    results : dict
        As they are written to JSON.

    Raises
    ------
    ValueError
        If the marks are not there.
    """
    return put_between(readme, BEGIN, END, as_markdown(results))


def put_between(text: str, begin: str, end: str, new: str) -> str:
    """Return a text with what is between two marks replaced.

    Parameters
    ----------
    text : str
        As it is.
    begin, end : str
        The marks, which stay.
    new : str
        What will be between them.

    Raises
    ------
    ValueError
        If the marks are not there.
    """
    before, found, rest = text.partition(begin)
    _, found_too, after = rest.partition(end)
    if not found or not found_too:
        raise ValueError(f"the README has no place for the table: put {begin} and {end} where it should be.")
    return f"{before}{begin}\n{new}\n{end}{after}"


def _machine(results: dict[str, Any]) -> str:
    machine = results["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f"Measured on {results['date']}, on {machine['threads']} cores of an {machine['processor']} "
        f"(Python {machine['python']}, {libraries}; NumPy's products by {machine['blas']}), in float32."
    )


def _rounds(results: dict[str, Any]) -> str:
    counts = sorted({len(case["seconds"]["step"][OURS]) for case in results["cases"]})
    return " or ".join(map(str, counts))


def _spread(numbers: Sequence[float], unit: float, form: str) -> str:
    return _spread_of(quartiles(numbers), unit, form)


def _spread_of(found: Sequence[float], unit: float, form: str) -> str:
    low, middle, high = (format(unit * number, form) for number in found)
    return f"{middle} ({low} to {high})"


def _judged(middle: float, wanted: float | None) -> str:
    return "" if wanted is None else f"[{wanted:.3f}: {'met' if middle <= wanted else 'missed'}]"


def _cell(case: dict[str, Any], seconds: dict[str, list[float]], mine: str, peer: str, kind: str) -> str:
    if peer not in seconds:
        return ""
    middle, wanted = ratio(seconds[mine], seconds[peer])[1], target(case, mine, peer, kind)
    return marked(middle, None if wanted is None else middle <= wanted, "" if wanted is None else f"{wanted:.3g}")


def marked(number: float, met: bool | None, wanted: str) -> str:
    """Return a number with what was aimed at in brackets, bold where it is missed.

    Parameters
    ----------
    number : float
        Told to two digits.
    met : bool or None
        Whether it is what was aimed at; None where nothing was.
    wanted : str
        What was.
    """
    told = f"{number:.2f}" if number >= 0.995 else f"{number:.2g}"
    return told if met is None else f"{told} [{wanted}]" if met else f"**{told}** [{wanted}]"


def short(seconds: float) -> str:
    """Return a time in milliseconds, or in microseconds where it is shorter than one.

    Parameters
    ----------
    seconds : float
        The time.
    """
    return f"{1e3 * seconds:,.1f} ms" if seconds > 1e-3 else f"{1e6 * seconds:,.0f} us"


def _epochs(results: dict[str, Any]) -> list[str]:
    """Return a table of our other backends, each held against the loop that it takes the place of."""
    pairs = [f"{mine} to {peer}" for mine, (peer, _) in EPOCH_TARGETS.items()]
    lines = [
        "An epoch on the other backends, to one of a loop written with the library itself, which gathers its batches too:",
        "",
        f"| network, optimizer | {' | '.join(pairs)} |",
        f"| --- |{' --: |' * len(pairs)}",
    ]
    for case in results["cases"]:
        seconds = case["seconds"].get("epoch", {})
        cells = [
            _cell(case, seconds, mine, peer, "epoch") if mine in seconds else "" for mine, (peer, _) in EPOCH_TARGETS.items()
        ]
        lines.append(f"| {case['name']}, {case['optimizer']} | {' | '.join(cells)} |")
    return lines


def _fits(results: dict[str, Any]) -> list[str]:
    """Return a line about each fit of our estimator that was held against scikit-learn's."""
    lines = []
    for fit in results.get("fit", []):
        mine, theirs, alone = (fit["seconds"][who] for who in ("portable_bp", "scikit-learn", "products"))
        middle, wanted = ratio(mine, theirs)[1], FIT_TARGETS.get(fit["task"])
        told = marked(middle, None if wanted is None else middle <= wanted, f"{wanted}")
        lines.append(
            f"- `MLPClassifier.fit`, {fit['task']}, float64, {fit['threads']} thread{'s' * (fit['threads'] > 1)}: "
            f"{short(quartiles(mine)[1])}, {told} of scikit-learn's; the matrix products alone take "
            f"{ratio(alone, theirs)[1]:.2f} of scikit-learn's."
        )
    return lines


def _sentences(results: dict[str, Any]) -> list[str]:
    """Return a line about each other thing that was measured."""
    lines = []
    for what, grown in results.get("growth", {}).items():
        told = "not to be told: too few sizes rise above the overhead"
        if grown["slope"] is not None:
            told = (
                f"{marked(grown['slope'], 0.9 <= grown['slope'] <= 1.1, '0.9 to 1.1')} above the overhead of "
                f"{short(grown['overhead'])}, from {grown['fitted'][0]:,} to {grown['fitted'][-1]:,}"
            )
        lines.append(
            f"- How the time of {'a step' if what == 'weights' else 'an epoch'} grows with {what}: log-log slope {told}."
        )
    if "memory" in results:
        peaks = results["memory"]
        told = ", ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items())
        met = peaks["portable_bp"] <= peaks.get("scikit-learn", float("inf"))
        lines.append(f"- Peak memory of fitting 784-512-512-10 on 60,000 samples: {told}{'' if met else ' (**more**)'}.")
    if "import" in results:
        seconds = results["import"]["seconds"]
        alone, asked = (ratio(seconds[name], seconds["numpy"])[1] for name in ("portable_bp", "portable_bp.Network"))
        unasked = results["import"]["unasked"]
        lines.append(
            f"- `import portable_bp` takes {marked(alone, alone <= 1.5, '1.5')} of the time of `import numpy`, and with "
            f"`portable_bp.Network` asked for {marked(asked, asked <= 1.5, '1.5')}; of cupy, torch, jax, scikit-learn and "
            f"matplotlib it brings in {', '.join(unasked) or 'none'}."
        )
    if "install" in results:
        sizes = ", ".join(f"{name} {size:,.0f}" for name, size in results["install"].items())
        lines.append(
            f"- What is installed here, each with all that it needs, in MB (torch without its CUDA libraries): {sizes}."
        )
    return lines
