"""Report the results: everything as text, and the guide's tables."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from scripts.benchmarking.measuring import ARRAYS, HOST_DATA
from scripts.benchmarking.places import BEST, CPU, Place
from scripts.benchmarking.rounds import EVENTS, HOST, quartiles, ratio

# An epoch of our other backends to one of the loop that it replaces, at most.
EPOCH_TARGETS = {"portable_bp torch": ("PyTorch eager", 1.0), "portable_bp jax": ("JAX jit", 1 / 1.5)}
# A fit of our estimator to one of scikit-learn's, at most.
FIT_TARGETS = {"digits at default settings": 0.45, "784-128-10 on 20,000 samples": 0.65}
# A step of a population on a processor to one of JAX's, at most.
POPULATION_TARGETS = {"2-4-3-2": 0.25, "16-16-4": 0.35, "64-32-10": 0.45}
SLOPES = (0.9, 1.1)  # of growth with size, at least and at most
IMPORT_TARGET = 1.5
NOTHING = "Nothing has been measured on a GPU yet: there is no figure here until `scripts/gpu` has run on one."
PEER_NOTES = {
    "CUDA graph": " CUDA graph is PyTorch with its step captured by hand.",
    "JAX scan": " JAX scan runs an epoch in one call, and gathers its batches too.",
}
BRACKETS = "Targets are in brackets; a ratio that misses its target is bold."


def as_markdown(place: Place, results: Sequence[dict[str, Any]]) -> str:
    """Return the guide's part on a place, from the results of each machine whose run passed, or is of an earlier commit."""
    shown = [each for each in results if each.get("passed", True) or "commit" in each]
    notes = _cpu_notes if place.is_cpu else functools.partial(_gpu_notes, place=place)
    parts = [[_introduction(each, place), "", *_table(each, place), "", *notes(each)] for each in shown]
    return "\n\n".join("\n".join(part) for part in parts) or NOTHING


def as_text(results: dict[str, Any]) -> str:
    """Return everything that was measured on a processor, as text."""
    lines = [_measured_on(results)]
    for case in results["cases"]:
        lines.append(f"\n{case['name']}, batches of {case['batch']}, {case['optimizer']}, in microseconds: median (quartiles)")
        for work, seconds in case["seconds"].items():
            lines += [f"  {work}", *(_line(case, work, name) for name in seconds)]
        lines += [f"  without {name}: {reason}" for name, reason in case["left_out"].items()]
    return "\n".join([*lines, "", *_fits(results), *_populations(results, POPULATION_TARGETS), *_sentences(results)])


def summarize(measured: dict[str, Any], place: Place) -> str:
    """Return the result of a case, a fit or a population on a GPU, in a line."""
    if "estimator" in measured:
        found = _fit_on_gpu(measured)
    elif "members" in measured:
        found = _population(measured, {})
    else:
        ratios = {peer: _ratio_to(measured, peer, place) for peer in place.peers}
        found = f"{_name(measured)}: {_step(measured, place)}; "
        found += ", ".join(f"{each} of {peer}" for peer, each in ratios.items() if each)
    left_out = "".join(f"; without {name}: {reason}" for name, reason in measured["left_out"].items())
    return found + left_out + "".join(f"; warned: {each}" for each in dict.fromkeys(measured["warnings"]))


def compare(case: dict[str, Any], work: str, mine: str, peer: str) -> list[float] | None:
    """Return the quartiles of the ratio of one contestant's seconds to a peer's, or None where one was not measured."""
    seconds = case["seconds"].get(work, {})
    return ratio(*_same_clock(seconds[mine], seconds[peer])) if mine in seconds and peer in seconds else None


def _best_peer(case: dict[str, Any], place: Place) -> str | None:
    """Return the peer with the fastest step, or None if none was measured."""
    ratios = {peer: compare(case, "step", place.ours, peer) for peer in place.peers if peer != "floor"}
    medians = {peer: found[1] for peer, found in ratios.items() if found}
    return max(medians, key=lambda peer: medians[peer], default=None)


def _ratio_to(case: dict[str, Any], peer: str, place: Place) -> str:
    """Return the ratio of our step to a peer's, or to the best peer's with its name; nothing where it was not measured."""
    best = _best_peer(case, place) if peer == BEST else None
    found = compare(case, "step", place.ours, best or peer)
    return _judged(found[1], place.target(case, peer)) + (f" {best}" if best else "") if found else ""


def _clocks(seconds: Any) -> dict[str, list[float]]:
    return seconds if isinstance(seconds, dict) else {HOST: seconds}  # a processor's results hold the host's clock alone


def _same_clock(mine: Any, theirs: Any) -> tuple[list[float], list[float]]:
    """Return the seconds of two contestants by the best clock that timed both."""
    mine, theirs = _clocks(mine), _clocks(theirs)
    clock = EVENTS if EVENTS in mine and EVENTS in theirs else HOST
    return mine[clock], theirs[clock]


def _median(seconds: Any) -> float:
    return quartiles(_same_clock(seconds, seconds)[0])[1]


def _step(case: dict[str, Any], place: Place) -> str:
    seconds = case["seconds"]["step"].get(place.ours)
    return _short(_median(seconds)) if seconds else "not measured"


def _name(case: dict[str, Any]) -> str:
    return f"{case['name']}, {case['batch']}, {case['optimizer']}, {case.get('precision', format(case['steps'], ','))}"


def _line(case: dict[str, Any], work: str, name: str) -> str:
    """Return a contestant's seconds, with our ratios to it."""
    words = [f"    {name:<18}{_spread(quartiles(case['seconds'][work][name]), 1e6, ',.1f'):<36}"]
    for mine in (CPU.ours, *EPOCH_TARGETS):
        found, target = compare(case, work, mine, name), _target(case, work, mine, name)
        if found and (target is not None or mine == CPU.ours != name):
            words.append(f"{mine} / it: {_spread(found, 1.0, '.3f')}")
            words.append("" if target is None else f"[{target:.3f}: {'met' if found[1] <= target else 'missed'}]")
    return " ".join(words).rstrip()


def _target(case: dict[str, Any], work: str, mine: str, peer: str) -> float | None:
    if work == "step" and mine == CPU.ours:
        return CPU.target(case, peer)
    theirs, target = EPOCH_TARGETS.get(mine, (None, None))
    return target if work == "epoch" and peer == theirs else None


def _measured_on(results: dict[str, Any]) -> str:
    """Return when, where and with what the results of a processor or a GPU were measured."""
    machine = results.get("machine") or results["device"]
    software = ", ".join([f"Python {machine['python']}", *(f"{name} {each}" for name, each in machine["libraries"].items())])
    date = f"Measured on {results['date']}, on"
    if "machine" in results:
        return (
            f"{date} {machine['threads']} cores of an {machine['processor']} ({software}; NumPy's matrix products by "
            f"{machine['blas']}), in float32."
        )
    tests = results["tests"]
    tested = f", where {tests['passed']:,} tests passed, {tests['on']['passed']:,} of them on CuPy" if tests else ""
    driver = f"driver {machine.get('driver')}, CUDA runtime {machine.get('CUDA runtime')}"
    commit = f" The code was that of commit {results['commit']}, and has changed since." if "commit" in results else ""
    return f"{date} one {machine['name']} ({driver}, {software}){tested}.{commit}"


def _introduction(results: dict[str, Any], place: Place) -> str:
    steps = [each for case in results["cases"] for each in case["seconds"]["step"].values()]
    rounds = " or ".join(map(str, sorted({len(took) for each in steps for took in _clocks(each).values()})))
    begin = f"{_measured_on(results)} Each figure is the median of {rounds} rounds."
    step = "with its checks, shuffling and gathering; the ratios are its time to that of the others, so less is better"
    if place.is_cpu:
        return (
            f"{begin} A step is one of an epoch on NumPy with Numba, {step}. PyTorch, JAX and scikit-learn get batches that "
            f"are ready. The floor is the step's matrix products alone. {BRACKETS}"
        )
    notes = "".join(PEER_NOTES.get(peer, "") for peer in _measured_peers(results, place))
    return (
        f"{begin} A step is one of an epoch on CuPy, {step}. They are taken by CUDA events or, for JAX, which has none, by the "
        f"host's clock. The other libraries get batches that are ready.{notes} The floor is the step's matrix products "
        "alone, by CuPy. The best peer is the one with the fastest step in the same precision. "
        f"{BRACKETS} The error is the distance of the weights from float64 after three steps, relative to the distance that "
        "they have moved."
    )


def _measured_peers(results: dict[str, Any], place: Place) -> list[str]:
    return [peer for peer in place.peers if any(peer in case["seconds"]["step"] for case in results["cases"])]


def _table(results: dict[str, Any], place: Place) -> list[str]:
    peers = _measured_peers(results, place) + ([] if place.is_cpu else [BEST])
    columns = [f"network, batch, optimizer, {'steps' if place.is_cpu else 'precision'}", "a step", *peers]
    rows = [[_name(case), _step(case, place), *(_ratio_to(case, peer, place) for peer in peers)] for case in results["cases"]]
    if not place.is_cpu:
        columns.append("error")
        for row, case in zip(rows, results["cases"], strict=True):
            error = case["distance_to_float64"].get(place.ours)
            row.append("" if error is None else f"{error:.1e}")
    return _format_table(columns, rows)


def _format_table(columns: list[str], rows: list[list[str]]) -> list[str]:
    aligned = f"| --- |{' --: |' * (len(columns) - 1)}"
    return [f"| {' | '.join(columns)} |", aligned, *(f"| {' | '.join(row)} |" for row in rows)]


def _cell(found: list[float] | None, target: float | None) -> str:
    return _judged(found[1], target) if found else ""


def _judged(number: float, target: float | None) -> str:
    return _marked(number, None if target is None else f"{target:.3g}", target is None or number <= target)


def _marked(number: float, target: str | None, met: bool) -> str:
    """Return a number in two digits, with its target in brackets, bold where it misses that."""
    text = f"{number:.2f}" if number >= 0.995 else f"{number:.2g}"
    return text if target is None else f"{text} [{target}]" if met else f"**{text}** [{target}]"


def _spread(found: Sequence[float], unit: float, form: str) -> str:
    low, middle, high = (format(unit * number, form) for number in found)
    return f"{middle} ({low} to {high})"


def _short(seconds: float) -> str:
    if abs(seconds) > 1e-3:
        return f"{1e3 * seconds:,.1f} ms"
    return f"{1e6 * seconds:,.0f} us" if abs(seconds) > 1e-5 else f"{1e6 * seconds:.1f} us"


def _cpu_notes(results: dict[str, Any]) -> list[str]:
    """Return the table of epochs on our other backends, and the sentences about everything else."""
    columns = ["network, optimizer", *(f"{mine} to {peer}" for mine, (peer, _) in EPOCH_TARGETS.items())]
    rows = [
        [f"{case['name']}, {case['optimizer']}"]
        + [_cell(compare(case, "epoch", mine, peer), target) for mine, (peer, target) in EPOCH_TARGETS.items()]
        for case in results["cases"]
    ]
    title = "An epoch on the other backends, to one of a loop written with the library itself, which gathers its batches too:"
    sentences = [*_fits(results), *_populations(results, POPULATION_TARGETS), *_sentences(results)]
    return [title, "", *_format_table(columns, rows), "", *sentences]


def _fits(results: dict[str, Any]) -> list[str]:
    lines = []
    for fit in results.get("fit", []):
        mine, theirs, products = (fit["seconds"][who] for who in ("portable_bp", "scikit-learn", "products"))
        lines.append(
            f"- `MLPClassifier.fit`, {fit['task']}, float64, {fit['threads']} thread{'s' * (fit['threads'] > 1)}: "
            f"{_short(_median(mine))}, {_judged(ratio(mine, theirs)[1], FIT_TARGETS.get(fit['task']))} of scikit-learn's; "
            f"the matrix products alone take {ratio(products, theirs)[1]:.2f} of scikit-learn's."
        )
    return lines


def _populations(results: dict[str, Any], targets: dict[str, float]) -> list[str]:
    return [f"- {_population(each, targets)}." for each in results.get("populations", [])]


def _population(measured: dict[str, Any], targets: dict[str, float]) -> str:
    """Return a sentence about the steps of a population."""
    mine, *others = measured["seconds"].items()
    judged = [f", {_judged(ratio(mine[1], each)[1], targets.get(measured['network']))} of {name}" for name, each in others]
    networks = f"{measured['members']:,} networks {measured['network']}"
    batch = f"with sgd, on a batch of {measured['batch']} for all"
    return f"A step of {networks} {batch}: {_short(_median(mine[1]))}{''.join(judged)}"


def _sentences(results: dict[str, Any]) -> list[str]:
    """Return a sentence about the growth, the memory, the imports and the installation, where they were measured."""
    lines = []
    for what, grown in results.get("growth", {}).items():
        slope, (least, most) = grown["slope"], SLOPES
        found = "is unknown: too few sizes rise above the overhead"
        if slope is not None:
            sizes = f"from {grown['fitted'][0]:,} to {grown['fitted'][-1]:,}"
            marked = _marked(slope, f"{least} to {most}", least <= slope <= most)
            found = f"is {marked} above the overhead of {_short(grown['overhead'])}, {sizes}"
        work = "a step" if what == "weights" else "an epoch"
        lines.append(f"- Growth of the time of {work} with the number of {what}: the log-log slope {found}.")
    if "memory" in results:
        peaks = results["memory"]
        listed = ", ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items())
        met = peaks["portable_bp"] <= peaks.get("scikit-learn", float("inf"))
        lines.append(f"- Peak memory of fitting 784-512-512-10 on 60,000 samples: {listed}{'' if met else ' (**more**)'}.")
    if "import" in results:
        seconds, unasked = results["import"]["seconds"], ", ".join(results["import"]["unasked"])
        alone, network = (
            _judged(ratio(seconds[name], seconds["numpy"])[1], IMPORT_TARGET) for name in ("portable_bp", "portable_bp.Network")
        )
        lines.append(
            f"- `import portable_bp` takes {alone} of the time of `import numpy`, and {network} where `portable_bp.Network` is "
            f"used; of cupy, torch, jax, scikit-learn and matplotlib it imports {unasked or 'none'}."
        )
    if "install" in results:
        sizes = ", ".join(f"{name} {size:,.0f}" for name, size in results["install"].items())
        lines.append(f"- Size of an installation with all dependencies, in MB (torch without its CUDA libraries): {sizes}.")
    return lines


def _gpu_notes(results: dict[str, Any], place: Place) -> list[str]:
    """Return the table of what fits take besides their steps, and the sentences about everything else."""
    rows = [[_name(case), *_fit_costs(case["fits"])] for case in results["cases"] if case.get("fits")]
    columns = ["network, batch, optimizer, precision", "steps", "first fit", "second fit", "marginal step"]
    columns += ["fixed cost, first", "fixed cost, second"]
    title = (
        "One epoch, as a user fits it, by the host's clock. The first fit is that of a new network in the first round; the "
        "second one fits it again. The marginal step is the difference between a long and a short fit, divided by that between "
        "their steps. The fixed cost is what remains of a fit after subtracting its marginal steps:"
    )
    table = [title, "", *_format_table(columns, rows), ""] if rows else []
    fits = [f"- {_fit_on_gpu(fit)}" for fit in results.get("fit", [])]
    return [*table, *fits, *_populations(results, {}), *_gpu_sentences(results, place)]


def _fit_costs(fits: dict[str, Any]) -> list[str]:
    """Return the steps, the first and the second fit, the marginal step, and the fixed costs of both fits."""
    steps, fewer = fits["steps"], fits["fewer_steps"]
    first, second = fits["first"][0], quartiles(fits["second"])[1]
    step = quartiles([(more - less) / (steps - fewer) for more, less in zip(fits["second"], fits["fewer"], strict=True)])[1]
    found = first, second, step, first - steps * step, second - steps * step
    return [f"{steps:,}", *map(_short, found)]


def _fit_on_gpu(fit: dict[str, Any]) -> str:
    """Return a sentence about the fits of an estimator."""
    seconds, found = fit["seconds"], []
    for who in (HOST_DATA, ARRAYS):
        if who in seconds:
            found.append(f"{_short(_median(seconds[who]))} on {who}")
            if "scikit-learn" in seconds:
                found[-1] += f", {_judged(ratio(seconds[who], seconds['scikit-learn'])[1], None)} of scikit-learn's"
    return f"`{fit['estimator']}.fit`, {fit['title']}, {fit['dtype']}: {'; '.join(found) or 'not measured'}"


def _gpu_sentences(results: dict[str, Any], place: Place) -> list[str]:
    copied = results["copy"]["bytes_read_and_written"] / _median(results["copy"]["seconds"])
    lines = [f"- A copy from device memory to device memory reads and writes {copied / 1e9:,.0f} GB a second."]
    lines += [
        f"- {case['name']} are trained one after the other, each by a fit of {case['steps']} steps: the time is that of a step "
        f"of one of {case['sample']}."
        for case in results["cases"]
        if "sample" in case
    ][:1]
    lines += [f"- Without {place.with_contestants(name)}: {reason}" for name, reason in results["without"].items()]
    lines += [f"- Not measured: {name}: {reason}" for name, reason in results["left_out"].items()]
    for measured in (*results["cases"], *results.get("fit", []), *results.get("populations", [])):
        name = _name(measured) if measured in results["cases"] else measured["title"]
        lines += [f"- {name}, without {who}: {reason}" for who, reason in measured["left_out"].items()]
        lines += [f"- {name} warned: {each}" for each in dict.fromkeys(measured["warnings"])]
    return lines + [f"- Tests left out: {each}" for each in results["tests"].get("left_out", [])]
