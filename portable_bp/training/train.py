"""Train a network or a population, with an error that says what would fit where memory runs out."""

from __future__ import annotations

from typing import Any

from portable_bp.backends import advise_fewer, attempt
from portable_bp.training.history import Training
from portable_bp.training.loop import Run
from portable_bp.training.needs import need_of_training
from portable_bp.training.population import PopulationRun
from portable_bp.training.population_history import PopulationHistory
from portable_bp.training.settings import Dataset, Settings


def train(training: Training, settings: Settings, dataset: Dataset, validation: Dataset | None, generator: Any) -> None:
    """Train until the last epoch, or until a callback stops it or an error ends it.

    The training is up to date after every epoch, whatever ends it; a callback may change it. Orders and dropout masks are drawn
    from the generator: a `numpy.random.Generator`, a tuple of one for each member of a population, or, where the settings allow
    it, a `numpy.random.RandomState`.
    """
    run = PopulationRun if isinstance(training.history, PopulationHistory) else Run
    attempt(
        # Everything that holds arrays is created inside the attempt, which releases it before it measures the free memory.
        lambda: run(training, settings, dataset, validation, generator).train(),
        settings.backend,
        f"training on batches of {settings.batch_size:,} samples",
        advise_fewer(
            lambda _: need_of_training(training, settings, dataset.samples),
            training.layers,
            settings.batch_size,
            "give batch_size={}",
        ),
    )
