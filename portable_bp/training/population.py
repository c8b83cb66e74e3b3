"""The training of a population: all members at once, each as it would be trained alone.

A member whose training ended keeps its weights, and is computed no more once half of the members have ended. Where the device
runs out of memory, members are trained in blocks, one after the other.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from portable_bp.backends import OutOfMemoryError, looped
from portable_bp.common.generators import set_state, state_of
from portable_bp.common.words import counted
from portable_bp.training.batches import Chunk
from portable_bp.training.checkpoints import Epoch, Saver, Unsaved
from portable_bp.training.history import Training
from portable_bp.training.loop import DivergenceError, Run
from portable_bp.training.losses import Losses, fetch_losses
from portable_bp.training.members import (
    batches_of,
    data_of,
    has_own_data,
    merge,
    pieces_of,
    spread,
    take_members,
    with_own_indices,
)
from portable_bp.training.population_history import PopulationHistory
from portable_bp.training.settings import Dataset, Settings
from portable_bp.training.step import Progress, step

MAX_NAMED = 10  # diverged members that a warning names


class PopulationRun(Run):
    """A training of a population in progress."""

    def __init__(
        self, training: Training, settings: Settings, dataset: Dataset, validation: Dataset | None, generator: Any
    ) -> None:
        self.members, self.computed = len(training.history), np.arange(len(training.history))
        self.block_size, self.has_own_data = self.members, has_own_data(dataset)
        self._loops: dict[bytes, Any] = {}
        self._states: list[Any] = []
        super().__init__(training, settings, dataset, validation, generator)
        training.merge = functools.partial(merge, settings.backend)
        training.history.one_step = training.one_step

    @property
    def history(self) -> PopulationHistory:
        """The losses of all members."""
        return self.training.history

    def train_epochs(self, start: Epoch, saver: Saver | Unsaved) -> None:
        """Train from an epoch on, which may be that of a checkpoint."""
        self._states = start.generator_state or []
        super().train_epochs(start, saver)

    def draw_state(self) -> Any:
        """Return the states of all generators; those of generators that draw nothing stay the same."""
        if self.settings.may_diverge:
            return None
        drawing = self.batches.count_drawing(self.members) if self._states else self.members
        self._states = [*state_of(self.generator[:drawing]), *self._states[drawing:]]
        return self._states

    def call_callbacks(self) -> None:
        """Call the callbacks, which cannot change members that had ended before."""
        training, backend = self.training, self.settings.backend
        active, layers, state = self.history.active, training.layers, training.state
        super().call_callbacks()
        training.layers = merge(backend, active, training.layers, layers)
        training.state = merge(backend, active, training.state, state)

    @property
    def drawing(self) -> tuple[Any, ...]:
        """The generators that draw batches; None in place of those of members that have ended."""
        drawing = [each if active else None for each, active in zip(self.generator, self.history.active, strict=True)]
        return (self.generator[0], *drawing[1:]) if self.settings.shared_order else tuple(drawing)

    def advance(self, progress: Progress, chunk: Chunk, same_size: int, total: int) -> Progress:
        """Take a step for each batch of a chunk, for the members that are still trained."""
        new = self._advance(progress, chunk, self._computed(), (same_size, total))
        return merge(self.settings.backend, self.history.active, new, progress)

    def _computed(self) -> np.ndarray:
        """Return the members to compute, which stay the same until half of them have ended."""
        members = computed_members(self.history.active)
        if len(members) < len(self.computed):
            self.computed = members
            self._loops.clear()
        return self.computed

    def _advance(self, progress: Progress, chunk: Chunk, members: np.ndarray, expected: tuple[int, int]) -> Progress:
        """Take a step for each batch of a chunk, for some members, block by block."""
        backend, result = self.settings.backend, progress

        def take_steps(block: np.ndarray) -> Progress:
            is_whole = len(block) == self.members
            part = progress if is_whole else take_members(backend, progress, block, self.members)
            batches = chunk.batches if is_whole else batches_of(backend, chunk.batches, block)
            if self.has_own_data:
                batches = with_own_indices(backend, batches, self.dataset.samples)
            return self._loop(block)(part, batches, chunk.steps, *expected)

        for block, advanced in self._in_blocks(members, take_steps):
            if len(block) == self.members:
                return advanced
            whole = spread(backend, advanced, block, self.members)
            result = merge(backend, np.isin(np.arange(self.members), block), whole, result)
        return result

    def _in_blocks(self, members: np.ndarray, work: Callable[[np.ndarray], Any]) -> list[tuple[np.ndarray, Any]]:
        """Return blocks of members with what a function returns for each; blocks are smaller where memory runs out."""
        found: list[tuple[np.ndarray, Any]] = []
        start = 0
        while start < len(members):
            block = members[start : start + self.block_size]
            result = self._try(work, block)
            if result is None:
                self.block_size = (len(block) + 1) // 2
                gc.collect()
                continue
            found.append((block, result))
            start += len(block)
        return found

    def _try(self, work: Callable[[np.ndarray], Any], block: np.ndarray) -> Any:
        """Return what a function returns for a block of members, or None if memory ran out and a smaller block may fit."""
        try:
            return work(block)
        except Exception as error:
            is_out_of_memory = isinstance(error, OutOfMemoryError) or self.settings.backend.is_out_of_memory(error)
            if len(block) == 1 or not is_out_of_memory:
                raise
            self._loops.clear()  # they hold buffers
            return None

    def _loop(self, block: np.ndarray) -> Any:
        """Return the loop over the steps of a block of members."""
        key = block.tobytes()
        if key not in self._loops:
            backend, pieces, data = self.settings.backend, self.settings.pieces, self.dataset
            if len(block) < self.members:
                pieces, data = pieces_of(pieces, block), data_of(backend, data, block)
            self._loops[key] = looped(backend, step, pieces)(tuple(data))
        return self._loops[key]

    def measure(self, epoch: Epoch, validation: Dataset | None) -> Losses:
        """Fetch the losses of the members that are still trained; those of others are NaN."""
        backend, members = self.settings.backend, self._computed()

        def fetch(block: np.ndarray) -> list[np.ndarray]:
            is_whole = len(block) == self.members
            progress = epoch.progress if is_whole else take_members(backend, epoch.progress, block, self.members)
            data = validation if is_whole or validation is None else data_of(backend, validation, block)
            return [loss for loss in fetch_losses(self.settings, progress, self.samples, data) if loss is not None]

        parts = [losses for _, losses in self._in_blocks(members, fetch)]
        rows = np.full((len(parts[0]), self.members), np.nan)
        rows[:, members] = np.hstack(parts)
        return Losses(*rows)

    def handle_divergence(self, start: Epoch, epoch: Epoch, losses: Losses) -> Epoch:
        """Set aside the members that diverged, with their last finite weights; the others go on.

        The epoch is repeated batch by batch for them alone.
        """
        diverged = self.history.active & ~np.isfinite(losses.loss)
        if not diverged.any():
            return epoch
        progress, batches = self._last_finite(start, diverged)
        kept = merge(self.settings.backend, diverged, progress.layers, epoch.progress.layers)
        state = merge(self.settings.backend, ~diverged, epoch.progress.state, start.progress.state)
        number = self.training.epoch + 1
        for batch in np.unique(batches[diverged]):
            self.history.end(f"it diverged in epoch {number}, batch {batch}", diverged & (batches == batch))
        self.history.diverged |= diverged
        if self.history.diverged.all():
            self.training.layers = kept
            raise DivergenceError(
                f"all {counted(self.members, 'member')} diverged, the last one in epoch {number}, batch {batches.max()}: each "
                "keeps its last finite weights; try a smaller learning rate, clipped gradients, or scaled inputs."
            )
        warnings.warn(
            f"the loss or a weight became infinite or NaN in {_described(batches, diverged)} of epoch {number}: these members "
            "keep their last finite weights, and the others go on; try a smaller learning rate, clipped gradients, or scaled "
            "inputs.",
            stacklevel=10,  # the line that called fit
        )
        return epoch._replace(progress=epoch.progress._replace(layers=kept, state=state))

    def _last_finite(self, start: Epoch, diverged: np.ndarray) -> tuple[Progress, np.ndarray]:
        """Repeat an epoch for members that diverge, and return their last finite progress, and the batch in which each did."""
        backend, after = self.settings.backend, state_of(self.generator)
        set_state(self.generator, start.generator_state)
        last, progress = start.progress, start.progress
        number, batches = start.batches, np.zeros(self.members, int)
        for chunk in dataclasses.replace(self.batches, chunk=1).draw(self.drawing, skip=start.batches):
            number += chunk.steps
            members = np.flatnonzero(diverged & (batches == 0))
            if not members.size:
                continue  # only draws
            progress = self._advance(progress, chunk, members, (1, 1))
            loss = fetch_losses(self.settings, progress, self.samples, None).loss
            batches[diverged & (batches == 0) & ~np.isfinite(loss)] = number
            last = merge(backend, diverged & (batches == 0), progress, last)
        set_state(self.generator, after)
        self._loops.clear()
        return last, batches


def computed_members(active: np.ndarray) -> np.ndarray:
    """Return the members to compute: all until half of them have ended, then half of them, and so on.

    So only a few sizes are compiled. Where fewer are active, others are computed too.
    """
    size = len(active)
    while (size + 1) // 2 >= active.sum() and size > 1:
        size = (size + 1) // 2
    return np.sort(np.argsort(~active, kind="stable")[:size])


def _described(batches: np.ndarray, members: np.ndarray) -> str:
    """Return the numbers of members and the batches in which they diverged, as text."""
    numbers = np.flatnonzero(members)
    shown = ", ".join(f"member {member} (batch {batches[member]})" for member in numbers[:MAX_NAMED])
    return shown + (f" and {len(numbers) - MAX_NAMED} others" if len(numbers) > MAX_NAMED else "")
