"""Who takes part in a case, and what each of them does in a round."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from scripts.benchmarking.cases import Case, Data
from scripts.benchmarking.check import References, WrongResultError, check
from scripts.benchmarking.contestants import Contestant, Ours, TorchCompiled, why_not
from scripts.benchmarking.rounds import Turn, fewer_steps, steps_in

TRAINING = ("step", "epoch")


def assemble(
    case: Case,
    data: Data,
    kinds: Iterable[type[Contestant]],
    uncompiled: str | None = None,
    references: References | None = None,
    go_on: bool = False,
) -> tuple[list[Contestant], dict[str, float], dict[str, str]]:
    """Return who takes part, checked; how far each is from float64; and why others do not take part.

    Parameters
    ----------
    case : Case
        What is trained.
    data : Data
        On what, and from where.
    kinds : iterable of type
        Who is asked.
    uncompiled : str, optional
        Why what must be compiled for long is left out; without it, it is not.
    references : References, optional
        What everyone is held against; without it, each is held against one of its own.
    go_on : bool
        Whether the others go on where one of ours fails, or anyone computes something else.

    Raises
    ------
    WrongResultError
        If a contestant computes something else, unless the others go on.
    """
    here: list[Contestant] = []
    distances: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for kind in kinds:
        reason = why_not(kind) or (uncompiled if issubclass(kind, TorchCompiled) else None)
        if reason:
            left_out[kind.name] = reason
            continue
        try:
            contestant = kind(case, data)
            distances[kind.name] = check(contestant, references)
        except Exception as error:  # such as a compiler that is not there
            if not go_on and (isinstance(error, WrongResultError) or issubclass(kind, Ours)):
                raise
            left_out[kind.name] = in_a_line(error)
            continue
        here.append(contestant)
    return here, distances, left_out


def in_a_line(error: BaseException | str) -> str:
    """Return what an error or a warning says, in a line.

    Parameters
    ----------
    error : Exception or str
        Any; its kind stands for one that says nothing.
    """
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def turns_of(contestant: Contestant, wanted: set[str], turn: float, epoch: float = math.inf) -> dict[tuple[str, str], Turn]:
    """Return the turns of a contestant, by its name and by what it does: "step" or "epoch".

    Parameters
    ----------
    contestant : Contestant
        One that is checked.
    wanted : set of str
        Of "step" and "epoch".
    turn : float
        How many seconds of steps make a turn.
    epoch : float
        How many seconds an epoch may take: where all steps take longer, it has fewer.
    """
    case, name, stopwatch = contestant.case, contestant.name, contestant.stopwatch
    turns: dict[tuple[str, str], Turn] = {}

    def an_epoch() -> Turn:
        count = case.steps if epoch == math.inf else fewer_steps(epoch, contestant.epoch, case.steps)
        return Turn(contestant.epoch, count, min(count, 8), stopwatch)

    if isinstance(contestant, Ours):
        contestant.epoch(case.steps)  # so that all that will be compiled is
        turns[name, "epoch"] = an_epoch()
        return turns
    if "step" in wanted and contestant.steps is not None:
        count = max(min(case.steps, 5), steps_in(turn, contestant.steps, case.steps))
        turns[name, "step"] = Turn(contestant.steps, count, min(count, 8), stopwatch)
    if "epoch" in wanted and contestant.epoch is not None:
        turns[name, "epoch"] = an_epoch()
    return turns


def by_what(seconds: dict[tuple[str, str], Any], wanted: set[str]) -> dict[str, dict[str, Any]]:
    """Return what was timed, by what was done, then by who did it.

    Ours always shuffles and gathers: a step of its epoch is what is held against others' steps too.

    Parameters
    ----------
    seconds : dict
        By the names of contestants, and by what they did.
    wanted : set of str
        Of "step" and "epoch".
    """
    return {
        what: {name: took for (name, which), took in seconds.items() if which == what or name.startswith("portable_bp")}
        for what in TRAINING
        if what in wanted
    }
