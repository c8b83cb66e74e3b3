"""Where a run measures, and what: on the processor, on a CUDA device, or in a rehearsal of the latter on the processor."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from scripts.benchmarking.cases import ADAM, CASES, SGD, Case, Networks
from scripts.benchmarking.contestants import EVERYONE, ON_GPU, REHEARSED, Contestant, Ours, TorchCompiled, why_unavailable
from scripts.benchmarking.fits import FITS_ON_GPU, REHEARSED_FITS, FitTask
from scripts.benchmarking.populations import REHEARSED_TASKS, TASKS_ON_GPU, PopulationTask

BEST = "best peer"  # the peer with the fastest step of a case, and so in the same precision


@dataclass(frozen=True)
class Place:
    """Which backend a run is about, who takes part in which cases, how long each is measured, and the targets."""

    name: str  # "cpu", "gpu" or "rehearsal"
    flag: str
    kinds: tuple[type[Contestant], ...]
    cases: tuple[Case, ...]  # the most important first
    turn: float  # seconds of steps in a turn
    fits: tuple[FitTask, ...] = ()  # of estimators
    populations: tuple[PopulationTask, ...] = ()
    epoch: float = math.inf  # seconds that an epoch may take: a longer one has fewer steps
    wanted: frozenset[str] = frozenset({"step", "epoch"})  # may hold "inference" too
    rounds: int | None = None  # None leaves the number to the case
    patience: float = 2.0  # seconds to wait until threads are idle
    quick: bool = False  # few rounds, and nothing that compiles for long
    keep_going: bool = False  # whether a failure of one contestant leaves the others
    peers: tuple[str, ...] = ()  # in the order of the table's columns
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)  # the largest ratio of a step, by network and peer
    adam_allowance: float = 1.0  # the factor by which Adam's targets are larger
    copied: int = 0  # numbers that are copied to measure the memory's bandwidth
    tests: str = ""  # a pattern of the files of tests to run

    @property
    def ours(self) -> str:
        """The contestant whose ratios to others are reported."""
        return f"portable_bp {self.flag}"

    @property
    def items(self) -> tuple[Case | FitTask | PopulationTask, ...]:
        """All that is measured, the most important first."""
        return *self.cases, *self.fits, *self.populations

    @property
    def is_cpu(self) -> bool:
        """Whether only the host's clock is used, and all products are exact."""
        return self.name == "cpu"

    def with_contestants(self, flag: str) -> str:
        """Return a library or a device, followed by the names of the contestants that need it."""
        names = ", ".join(kind.name for kind in self.kinds if kind.needs == flag)
        return f"{flag} ({names})" if names else flag

    def rounds_of(self, case: Case) -> int:
        """Return how many rounds a case's training is measured in."""
        return self.rounds or (3 if self.quick or case.weights > 10**7 else 7)

    def kinds_for(self, case: Case) -> list[type[Contestant]]:
        """Return the contestants that should take part in a case."""
        if case.precision == "float32":
            return list(self.kinds)
        # The time on a GPU is short: our other backends are measured in float32 only.
        return [kind for kind in self.kinds if not issubclass(kind, Ours) or kind.needs == self.flag]

    def why_not(self, kind: type[Contestant], case: Case) -> str | None:
        """Return why a contestant cannot take part in a case, or None if it can."""
        if issubclass(kind, TorchCompiled):
            if self.quick:
                return "it compiles for too long to be quick"
            if isinstance(case, Networks):
                return "it would compile every network"
        return why_unavailable(kind)

    def target(self, case: dict[str, Any], peer: str) -> float | None:
        """Return the target for the ratio of our step to a peer's, or the best peer's, in one of the results' cases."""
        wanted, is_adam = self.targets.get(case["name"], {}).get(peer), case["optimizer"] == "adam"
        if isinstance(wanted, tuple):  # of sgd, and of adam
            return wanted[is_adam]
        if isinstance(wanted, dict):  # of each precision
            wanted = wanted[case["precision"]]
        return wanted and wanted * (self.adam_allowance if is_adam else 1.0)


CPU = Place(
    name="cpu",
    flag="numpy",
    kinds=EVERYONE,
    cases=tuple(replace(case, pieces=pieces) for case in CASES for pieces in (SGD, ADAM)),
    turn=0.3,
    peers=("PyTorch eager", "torch.compile", "JAX jit", "scikit-learn", "floor"),
    targets={
        "2-4-3-2": {"PyTorch eager": (0.01, 0.01), "JAX jit": (0.1, 0.1)},
        "64-32-10": {"PyTorch eager": (0.06, 0.06), "JAX jit": (0.5, 0.5)},
        "784-128-10": {"PyTorch eager": (0.5, 0.6), "JAX jit": (0.8, 0.85), "floor": (1.2, 1.35)},
        "784-512-512-10": {"PyTorch eager": (0.88, 0.95), "JAX jit": (0.92, 1.02), "floor": (1.1, 1.15)},
        "1024-4096-4096-1024": {"PyTorch eager": (0.95, 0.95), "JAX jit": (1.03, 1.0), "floor": (1.05, 1.12)},
    },
    adam_allowance=1.3,
)

_TINY, _SMALL, _PLAIN, _DEEP, _WIDE = (
    replace(case, batch=batch, steps=steps)
    for case, batch, steps in zip(CASES, (4, 32, 128, 1024, 4096), (2048, 1024, 256, 64, 16), strict=True)
)
_WIDEST = Case((8192, 8192, 8192), 8192, 4)
_ONE_BY_ONE = Networks(_TINY.sizes, _TINY.batch, 64)
_ON_GPU = (
    _TINY,
    _SMALL,
    _PLAIN,
    *(replace(case, precision=each) for case in (_DEEP, _WIDE, _WIDEST) for each in ("float32", "tf32", "mixed")),
)

GPU = Place(
    name="gpu",
    flag="cupy",
    kinds=ON_GPU,
    cases=(*_ON_GPU, *(replace(case, pieces=ADAM) for case in _ON_GPU), _ONE_BY_ONE, replace(_ONE_BY_ONE, pieces=ADAM)),
    fits=FITS_ON_GPU,
    populations=TASKS_ON_GPU,
    turn=0.1,
    epoch=0.5,
    patience=0.1,  # busy threads of the host slow a device down only a little
    keep_going=True,
    peers=("PyTorch eager", "torch.compile", "CUDA graph", "JAX jit", "JAX scan", "floor"),
    targets={
        "2-4-3-2": {BEST: (0.15, 1.0)},
        "64-32-10": {BEST: (0.6, 1.0)},
        "784-128-10": {BEST: (0.8, 1.0)},
        "784-512-512-10": {BEST: 1.0, "floor": 1.3},
        "1024-4096-4096-1024": {BEST: 1.0, "floor": {"float32": 1.1, "tf32": 1.2, "mixed": 1.3}},
        "8192-8192-8192": {BEST: (0.99, 1.0), "floor": {"float32": 1.03, "tf32": 1.06, "mixed": 1.1}},
    },
    copied=2**28,
    tests="tests/**/test_*.py",
)

REHEARSAL = replace(
    GPU,
    name="rehearsal",
    flag="numpy",
    kinds=REHEARSED,
    cases=(replace(_TINY, steps=64), replace(_SMALL, steps=16, pieces=ADAM), replace(_ONE_BY_ONE, steps=4, sample=2)),
    fits=REHEARSED_FITS,
    populations=REHEARSED_TASKS,
    turn=0.01,
    epoch=0.05,
    copied=2**20,
    tests="tests/algorithm/test_[is]*.py",
)

PLACES = {place.name: place for place in (CPU, GPU, REHEARSAL)}
