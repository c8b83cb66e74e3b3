"""The training loop. The losses of an epoch are fetched from the device once, at its end."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

from portable_bp.backends import compiled, looped
from portable_bp.common.generators import set_state, state_of
from portable_bp.training.bar import progress_bar
from portable_bp.training.batches import Batches, Chunk
from portable_bp.training.callbacks import finish
from portable_bp.training.checkpoints import Epoch, Saver, Unsaved
from portable_bp.training.history import Training
from portable_bp.training.losses import Losses, fetch_losses
from portable_bp.training.settings import Dataset, Settings
from portable_bp.training.step import Progress, begin_state, step, zero_error

# Of a training with a checkpoint: it may be resumed for more epochs than it has now, and its results must not depend on that.
ASSUMED_EPOCHS = 100


class DivergenceError(FloatingPointError):
    """The loss or a weight became infinite or NaN during training; the network keeps its last finite weights."""


class Run:
    """A training in progress."""

    def __init__(
        self, training: Training, settings: Settings, dataset: Dataset, validation: Dataset | None, generator: Any
    ) -> None:
        self.training, self.settings, self.generator = training, settings, generator
        self.samples, self.validation = settings.samples or dataset.samples, validation
        self.batches = Batches.of(settings, training.layers, self.samples)
        self.dataset = dataset
        training.one_step = len(self.batches) == 1
        if training.state is None:
            training.state = compiled(settings.backend, begin_state, settings.optimizer)(training.layers)

    def train(self) -> None:
        """Train from the start, or from where a checkpoint left off, to the end."""
        checkpoint, callbacks = self.settings.checkpoint, self.settings.callbacks
        saver = Saver(checkpoint, self.training, callbacks, self.generator) if checkpoint else Unsaved()
        start = saver.begin(self.begin_epoch())
        try:
            self.train_epochs(start, saver)
            finish(callbacks, self.training)
        finally:
            saver.leave()

    def train_epochs(self, start: Epoch, saver: Saver | Unsaved) -> None:
        """For each epoch: learn from each batch, measure the losses, record them, call the callbacks, save."""
        training, settings = self.training, self.settings
        with progress_bar(settings.progress, settings.epochs * len(self.batches)) as show:
            show(training.epoch * len(self.batches) + start.batches)
            while training.epoch < settings.epochs and not training.history.has_ended:
                epoch = start
                for epoch in self.learn(start, self.batches):
                    show(training.epoch * len(self.batches) + epoch.batches)
                    saver.write_if_due(epoch)
                losses = self.measure(epoch, self.validation)
                if not (losses.is_finite or settings.may_diverge):
                    epoch = self.handle_divergence(start, epoch, losses)
                self.record(epoch, losses)
                show(training.epoch * len(self.batches), training.history.monitored)
                self.call_callbacks()
                start = self.begin_epoch()
                saver.write(start)

    def call_callbacks(self) -> None:
        """Call the callbacks after an epoch."""
        for callback in self.settings.callbacks:
            callback(self.training)

    def begin_epoch(self) -> Epoch:
        """Return the next epoch before its first batch."""
        layers = list(self.training.layers)  # a list, as a step returns: JAX would trace a tuple separately
        progress = Progress(layers, self.training.state, compiled(self.settings.backend, zero_error)(layers))
        return Epoch(progress, self.draw_state())

    def draw_state(self) -> Any:
        """Return the state of the generator, from which an epoch is repeated if it diverges."""
        return None if self.settings.may_diverge else state_of(self.generator)

    @property
    def drawing(self) -> Any:
        """The generator that draws batches."""
        return self.generator

    def learn(self, epoch: Epoch, batches: Batches) -> Iterator[Epoch]:
        """Take a step for each remaining batch of an epoch, and yield the epoch after every chunk of batches."""
        for chunk in batches.draw(self.drawing, skip=epoch.batches):
            # How many steps are expected, of this size and of all, decides how they are compiled.
            epochs = ASSUMED_EPOCHS if self.settings.checkpoint else self.settings.epochs * self.settings.repeats
            expected = chunk.same_size * epochs, len(self.batches) * epochs
            progress = self.advance(epoch.progress, chunk, *expected)
            epoch = epoch._replace(progress=progress, batches=epoch.batches + chunk.steps)
            yield epoch

    def advance(self, progress: Progress, chunk: Chunk, same_size: int, total: int) -> Progress:
        """Take a step for each batch of a chunk; that many steps of its size, and in total, are expected."""
        return self._steps(progress, chunk.batches, chunk.steps, same_size, total)

    @functools.cached_property
    def _steps(self) -> Any:
        return looped(self.settings.backend, step, self.settings.pieces)(tuple(self.dataset))

    def measure(self, epoch: Epoch, validation: Dataset | None) -> Losses:
        """Fetch the loss of an epoch, and the validation loss if there are validation data."""
        return fetch_losses(self.settings, epoch.progress, self.samples, validation)

    def record(self, epoch: Epoch, losses: Losses) -> None:
        """Update the training with a finished epoch."""
        training = self.training
        training.layers_before_epoch = training.layers
        training.layers, training.state = epoch.progress.layers, epoch.progress.state
        training.history.record(*losses)

    def handle_divergence(self, start: Epoch, epoch: Epoch, losses: Losses) -> Epoch:
        """Repeat an epoch batch by batch to find the one at which it diverged, and raise the error.

        Checking every batch the first time would have made the host wait for the device each time.
        """
        set_state(self.generator, start.generator_state)
        epoch = last = start
        for epoch in self.learn(start, dataclasses.replace(self.batches, chunk=1)):
            if not self.measure(epoch, None).is_finite:
                break
            last = epoch
        self.training.layers = last.progress.layers
        raise DivergenceError(
            f"training stopped in epoch {self.training.epoch + 1}, batch {epoch.batches}, where the loss or a weight became "
            "infinite or NaN; the network keeps its last finite weights: try a smaller learning rate, clipped gradients, or "
            "scaled inputs."
        )
