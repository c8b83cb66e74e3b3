"""The loop: epochs of batches, whose losses are fetched from the device once an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

from portable_bp.algorithm.arrays import Array, Layer
from portable_bp.algorithm.needs import Need, count, need_of_output, need_of_step
from portable_bp.algorithm.propagation import measure_error
from portable_bp.backends import Backend, Rows, advise_fewer, attempt, compiled, looped
from portable_bp.common.trees import leaves
from portable_bp.training.bar import bar
from portable_bp.training.batches import draw_batches, draw_order
from portable_bp.training.checkpoints import Checkpoint, Epoch
from portable_bp.training.history import Training
from portable_bp.training.step import Progress, add_error, begin_state, step, summary, zero_error

# Batches are handed over many at a time: some seconds' work on one core, or masks and inputs of 64 MiB.
MOST_STEPS, MOST_PRODUCTS, MOST_CARRIED = 256, 4e11, 2**23


class DivergenceError(FloatingPointError):
    """The loss or a weight became infinite or NaN while training; the network keeps its last finite weights."""


class Data(NamedTuple):
    """Samples on the device.

    Attributes
    ----------
    inputs : array, shape (samples, features), Rows, or None
        What goes in; None where it is brought batch by batch. Only validation data may be made on demand.
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
    objective : objective
        What is made small; its ``loss`` is what the error on other data is measured by.
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
    draw_order : callable
        ``draw_order(generator, samples, batch_size)`` returns the order of an epoch's samples.
    may_diverge : bool
        Whether training goes on with numbers that are not finite any more. If not, the generator is NumPy's, and draw_order
        keeps nothing to itself: the epoch is run once more, to find where they became so.
    rows : callable, optional
        Gives inputs on the device by their numbers, where the data have none.
    checkpoint : Checkpoint, optional
        Where the training is kept, and gone on with. The generator is NumPy's then.
    """

    backend: Backend
    activations: tuple[Any, ...]
    objective: Any
    optimizer: Any
    epochs: int
    batch_size: int
    rates: tuple[float, ...]
    callbacks: Sequence[Callable[[Training], Any]]
    progress: bool = False
    draw_order: Callable[[Any, int, int], np.ndarray | None] = draw_order
    may_diverge: bool = False
    rows: Callable[[np.ndarray], Array] | None = None
    checkpoint: Checkpoint | None = None


def train(training: Training, plan: Plan, data: Data, validation: Data | None, generator: Any) -> None:
    """Train, epoch after epoch.

    Parameters
    ----------
    training : Training
        Its layers, history and state are brought up to date after every epoch; a callback may change them.
    plan : Plan
        What to do.
    data : Data
        What to learn from.
    validation : Data or None
        What to measure the loss on besides.
    generator : numpy.random.Generator, or numpy.random.RandomState
        Where orders and masks come from.

    Raises
    ------
    DivergenceError
        If the loss or a weight is not finite any more, unless the plan lets them be; the training then holds the last finite
        weights.
    ModelFileError, ValueError, OSError
        If a checkpoint cannot be gone on with, or not be written.
    OutOfMemoryError
        If the device has not enough memory; the training is as it was after the last finished epoch.
    """
    attempt(
        lambda: _train(training, plan, data, validation, generator),
        plan.backend,
        f"training on batches of {plan.batch_size:,} samples",
        advise_fewer(
            lambda layers: _need(layers, training.state, plan, data), training.layers, plan.batch_size, "give batch_size={}"
        ),
    )


def _need(layers: Sequence[Layer], state: Any, plan: Plan, data: Data) -> Need:
    """Return what a training takes, from above: besides that of a step, what it keeps from one epoch to the next."""
    samples = data.target.shape[0]
    parameters = count(layers)
    remembered = sum(math.prod(leaf.shape) for leaf in leaves(state) if hasattr(leaf, "shape")) or 2 * parameters
    carried = _carried(plan, layers)
    need = need_of_step(layers, remembered, carried)
    # The parameters before an epoch, after it and those of the best; and what is drawn for many batches ahead.
    kept = 3 * parameters + remembered + 2 * samples + 2 * min(MOST_CARRIED, samples * carried)
    return need._replace(fixed=need.fixed + kept)


def _train(training: Training, plan: Plan, data: Data, validation: Data | None, generator: Any) -> None:
    learn = looped(plan.backend, step, plan.activations, plan.objective, plan.optimizer)(tuple(data))
    if training.state is None:
        training.state = compiled(plan.backend, begin_state, plan.optimizer)(training.layers)
    epoch = _begin_epoch(plan, training, generator)
    if plan.checkpoint is not None:
        epoch = plan.checkpoint.begin(training, epoch, plan.callbacks)
        generator.bit_generator.state = epoch.drawn_before
    try:
        _run_epochs(training, plan, learn, epoch, data, validation, generator)
        for callback in plan.callbacks:
            getattr(callback, "finish", lambda _: None)(training)
    finally:
        if plan.checkpoint is not None:
            plan.checkpoint.leave(training, epoch.initial)


def _run_epochs(
    training: Training,
    plan: Plan,
    learn: Callable[..., Progress],
    epoch: Epoch,
    data: Data,
    validation: Data | None,
    generator: Any,
) -> None:
    an_epoch = math.ceil(data.target.shape[0] / plan.batch_size)
    training.one_step = an_epoch == 1
    with bar(plan.progress, plan.epochs * an_epoch, "batch") as tell:
        tell(training.epoch * an_epoch + epoch.batches)
        while training.epoch < plan.epochs and training.history.stop_reason is None:
            progress = _run_epoch(training, plan, learn, epoch, data, generator, tell)
            loss, *validation_loss = _fetch_losses(plan, progress, data, validation)
            if not (math.isfinite(loss) or plan.may_diverge):
                _stop_diverged(training, plan, learn, epoch, data, generator)
            training.layers_before_epoch = training.layers
            training.layers, training.state = progress.layers, progress.state
            training.history.loss.append(loss)
            training.history.validation_loss.extend(validation_loss)
            tell(0, loss=training.history.monitored)
            for callback in plan.callbacks:
                callback(training)
            epoch = _begin_epoch(plan, training, generator, epoch.initial)
            if plan.checkpoint is not None:
                plan.checkpoint.write(training, epoch, plan.callbacks)


def _begin_epoch(plan: Plan, training: Training, generator: Any, initial: str = "") -> Epoch:
    # A list, as a step returns: JAX would trace a tuple apart.
    layers = list(training.layers)
    progress = Progress(layers, training.state, compiled(plan.backend, zero_error)(layers))
    return Epoch(progress, None if plan.may_diverge else generator.bit_generator.state, initial=initial)


def _run_epoch(
    training: Training,
    plan: Plan,
    learn: Callable[..., Progress],
    epoch: Epoch,
    data: Data,
    generator: Any,
    tell: Callable[..., None],
) -> Progress:
    for progress, steps in _learn(plan, learn, epoch, data, generator):
        epoch = epoch._replace(progress=progress, batches=epoch.batches + steps)
        tell(steps)
        if plan.checkpoint is not None and plan.checkpoint.is_due(epoch.batches):
            plan.checkpoint.write(training, epoch, plan.callbacks)
    return epoch.progress


def _stop_diverged(
    training: Training,
    plan: Plan,
    learn: Callable[..., Progress],
    epoch: Epoch,
    data: Data,
    generator: Any,
) -> NoReturn:
    """Run the epoch once more, looking at every batch: looking each time would have made the device wait each time."""
    generator.bit_generator.state = epoch.drawn_before
    number, last = epoch.batches, epoch.progress
    for progress, _ in _learn(plan, learn, epoch, data, generator, at_once=1):
        number += 1
        if not math.isfinite(_fetch_losses(plan, progress, data, None)[0]):
            break
        last = progress
    training.layers = last.layers
    raise DivergenceError(
        f"training stopped in epoch {training.epoch + 1}, batch {number}, where the loss or a weight became infinite or NaN; "
        "the network keeps its last finite weights: try a smaller learning rate, clipped gradients, or scaled inputs."
    )


def _learn(
    plan: Plan,
    learn: Callable[..., Progress],
    epoch: Epoch,
    data: Data,
    generator: Any,
    at_once: int = MOST_STEPS,
) -> Iterator[tuple[Progress, int]]:
    """Yield the progress after every few batches that the epoch still has, and how many they were."""
    progress = epoch.progress
    for batches, steps, alike in _draw(plan, progress.layers, data, generator, at_once, epoch.batches):
        # With checkpoints it may go on for more epochs than are known: nothing that is done may depend on their number.
        progress = learn(progress, batches, steps, math.inf if plan.checkpoint else alike * plan.epochs)
        yield progress, steps


def _draw(plan: Plan, layers: Sequence[Layer], data: Data, generator: Any, at_once: int, made: int) -> Any:
    widths = [layer.weight.shape[-2] for layer in layers[:-1]]
    products = sum(math.prod(layer.weight.shape) for layer in layers)
    carried = _carried(plan, layers)
    fitting = min(MOST_PRODUCTS // (plan.batch_size * products), MOST_CARRIED // (plan.batch_size * carried or 1), at_once)
    samples = data.target.shape[0]
    order = plan.draw_order(generator, samples, plan.batch_size)
    at_once = max(1, int(fitting))
    every = plan.checkpoint.every if plan.checkpoint else None
    return draw_batches(
        plan.backend, generator, order, samples, plan.batch_size, widths, plan.rates, at_once, plan.rows, made, every
    )


def _carried(plan: Plan, layers: Sequence[Layer]) -> int:
    """Return how many numbers a sample brings with it: dropout masks, and its inputs where the data have none."""
    masks = sum(layer.weight.shape[-2] for layer, rate in zip(layers[:-1], plan.rates, strict=True) if rate)
    return masks + (layers[0].weight.shape[-1] if plan.rows else 0)


def _fetch_losses(plan: Plan, progress: Progress, data: Data, validation: Data | None) -> list[float]:
    error = None
    if validation is not None:
        samples = validation.target.shape[0]
        error = attempt(
            lambda: _measure(plan, progress.layers, validation),
            plan.backend,
            f"measuring the loss of {samples:,} validation samples",
            advise_fewer(need_of_output, progress.layers, samples, "give up to {:,} of them"),
        )
    numbers = compiled(plan.backend, summary)(progress.layers, progress.total, float(data.target.shape[0]), error)
    return plan.backend.to_numpy(numbers).tolist()


def _measure(plan: Plan, layers: Sequence[Layer], data: Data) -> Any:
    """Return the error of all samples, those that are made on demand some at a time."""
    pieces = plan.activations, plan.objective.loss
    if not isinstance(data.inputs, Rows):
        return compiled(plan.backend, measure_error, *pieces)(layers, *data)
    add, error = compiled(plan.backend, add_error, *pieces), compiled(plan.backend, zero_error)(layers)
    for numbers, inputs in data.inputs.parts(plan.backend):
        share = len(numbers) / data.target.shape[0]
        error = add(layers, error, share, inputs, plan.backend.asarray(numbers, "int32"), *data[1:])
    return error
