"""The loop: epochs of batches, whose losses are fetched from the device once an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

from portable_bp.algorithm.arrays import Array, Layer
from portable_bp.algorithm.propagation import measure_error
from portable_bp.backends import Backend, compiled, looped
from portable_bp.training.bar import bar
from portable_bp.training.batches import draw_batches
from portable_bp.training.history import Training
from portable_bp.training.step import Progress, begin, step, summary, zero_error

# Batches are handed over many at a time: some seconds' work on one core, or as many masks as take 64 MiB.
MOST_STEPS, MOST_PRODUCTS, MOST_MASKED = 256, 4e11, 2**23


class DivergenceError(FloatingPointError):
    """The loss or a weight became infinite or NaN while training; the network keeps its last finite weights."""


class Data(NamedTuple):
    """Samples on the device.

    Attributes
    ----------
    inputs : array, shape (samples, features)
        What goes in.
    target : array, shape (samples, outputs), or (samples,) of integer classes
        What should come out.
    sample_weight : array, shape (samples,), or None
        What each sample counts for.
    """

    inputs: Array
    target: Array
    sample_weight: Array | None


@dataclass(frozen=True)
class Plan:
    """What does not change while training.

    Parameters
    ----------
    backend : Backend
        Where it runs.
    activations : tuple of activation
        One a layer.
    loss : loss
        What is made small.
    optimizer : optimizer
        How.
    epochs : int
        How often every sample is learned from.
    batch_size : int
        How many samples a step takes.
    rates : tuple of float
        The dropout rate of each hidden layer.
    callbacks : sequence of callable
        Called with the training after every epoch.
    progress : bool
        Whether a bar is shown.
    """

    backend: Backend
    activations: tuple[Any, ...]
    loss: Any
    optimizer: Any
    epochs: int
    batch_size: int
    rates: tuple[float, ...]
    callbacks: Sequence[Callable[[Training], Any]]
    progress: bool


def train(training: Training, plan: Plan, data: Data, validation: Data | None, generator: np.random.Generator) -> None:
    """Train, epoch after epoch.

    Parameters
    ----------
    training : Training
        Its layers and history are brought up to date after every epoch.
    plan : Plan
        What to do.
    data : Data
        What to learn from.
    validation : Data or None
        What to measure the loss on besides.
    generator : numpy.random.Generator
        Where orders and masks come from.

    Raises
    ------
    DivergenceError
        If the loss or a weight is not finite any more; the training then holds the last finite weights.
    """
    learn = looped(plan.backend, step, plan.activations, plan.loss, plan.optimizer)(tuple(data))
    progress = compiled(plan.backend, begin, plan.optimizer)(training.layers)
    steps = plan.epochs * math.ceil(data.inputs.shape[0] / plan.batch_size)
    with bar(plan.progress, steps, "batch") as tell:
        for _ in range(plan.epochs):
            before, generator_before = progress, generator.bit_generator.state
            progress = _run_epoch(plan, learn, before, data, generator, tell)
            loss, *validation_loss = _fetch_losses(plan, progress, data, validation)
            if not math.isfinite(loss):
                generator.bit_generator.state = generator_before
                _stop_diverged(training, plan, learn, before, data, generator)
            training.began, training.layers = before.layers, progress.layers
            training.history.loss.append(loss)
            training.history.validation_loss.extend(validation_loss)
            tell(0, loss=training.history.monitored)
            for callback in plan.callbacks:
                callback(training)
            if training.history.stop_reason is not None:
                break
    for callback in plan.callbacks:
        getattr(callback, "finish", lambda _: None)(training)


def _run_epoch(
    plan: Plan,
    learn: Callable[..., Progress],
    progress: Progress,
    data: Data,
    generator: np.random.Generator,
    tell: Callable[..., None],
) -> Progress:
    progress = progress._replace(total=compiled(plan.backend, zero_error)(progress.layers))
    for batches, steps in _draw(plan, progress.layers, data, generator):
        progress = learn(progress, batches, steps)
        tell(steps)
    return progress


def _stop_diverged(
    training: Training,
    plan: Plan,
    learn: Callable[..., Progress],
    progress: Progress,
    data: Data,
    generator: np.random.Generator,
) -> NoReturn:
    """Run the epoch once more, looking at every batch: looking each time would have made the device wait each time."""
    number = 0
    for batch, _ in _draw(plan, progress.layers, data, generator, at_once=1):
        number += 1
        after = learn(progress, batch, 1)
        if not math.isfinite(_fetch_losses(plan, after, data, None)[0]):
            break
        progress = after
    training.layers = progress.layers
    raise DivergenceError(
        f"training stopped in epoch {training.epoch + 1}, batch {number}, where the loss or a weight became infinite or NaN; "
        "the network keeps its last finite weights: try a smaller learning rate, clipped gradients, or scaled inputs."
    )


def _draw(plan: Plan, layers: Sequence[Layer], data: Data, generator: np.random.Generator, at_once: int = MOST_STEPS) -> Any:
    widths = [layer.weight.shape[-2] for layer in layers[:-1]]
    products = sum(math.prod(layer.weight.shape) for layer in layers)
    masked = sum(width for width, rate in zip(widths, plan.rates, strict=True) if rate)
    fitting = min(MOST_PRODUCTS // (plan.batch_size * products), MOST_MASKED // (plan.batch_size * masked or 1), at_once)
    samples = data.inputs.shape[0]
    return draw_batches(plan.backend, generator, samples, plan.batch_size, widths, plan.rates, max(1, int(fitting)))


def _fetch_losses(plan: Plan, progress: Progress, data: Data, validation: Data | None) -> list[float]:
    error = None
    if validation is not None:
        error = compiled(plan.backend, measure_error, plan.activations, plan.loss)(progress.layers, *validation)
    numbers = compiled(plan.backend, summary)(progress.layers, progress.total, float(data.inputs.shape[0]), error)
    return plan.backend.to_numpy(numbers).tolist()
