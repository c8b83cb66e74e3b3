"""What a user chooses by name or by number, checked before anything changes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from portable_bp.algorithm.activations import ACTIVATIONS, Activation, Identity, bounds_of
from portable_bp.algorithm.initializers import INITIALIZERS
from portable_bp.algorithm.losses import LOSSES, Loss
from portable_bp.algorithm.optimizers import OPTIMIZERS, Optimizer
from portable_bp.algorithm.settings import is_number
from portable_bp.lookup import find, has_parts, is_pair, resolve


def check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the layer sizes as integers.

    Parameters
    ----------
    sizes : sequence of int
        The number of inputs, then of neurons in each layer.

    Raises
    ------
    ValueError
        If there are fewer than two, or one is not a whole number from 1 up.
    """
    try:
        given = list(sizes)
        whole = tuple(int(size) for size in given)
        right = len(whole) >= 2 and all(is_number(had) and had == size >= 1 for size, had in zip(whole, given, strict=True))
    except (TypeError, ValueError, OverflowError):
        right, whole = False, ()
    if not right:
        raise ValueError(
            f"sizes is {sizes!r}, and should be at least two whole numbers from 1 up: the number of inputs, "
            "then of neurons in each layer, as in [2, 4, 3, 2]."
        )
    return whole


def resolve_activations(activation: Any, output_activation: Any, layers: int) -> tuple[Any, ...]:
    """Return one activation a layer.

    Parameters
    ----------
    activation : str, activation, pair of functions, or sequence of these
        One for every layer, or one a layer.
    output_activation : str, activation, pair of functions, or None
        Of the output layer, where it differs.
    layers : int
        How many there are above the inputs.

    Raises
    ------
    ValueError
        If a name is not known, or there are not as many as layers.
    TypeError
        If something is no activation.
    """
    each = [activation] * layers if is_one_activation(activation) else list(activation)
    if len(each) != layers:
        raise ValueError(f"activation has {len(each)} entries, and the network has {layers} layers above its inputs.")
    if output_activation is not None:
        each[-1] = output_activation
    return tuple(resolve("activation", given, ACTIVATIONS, Activation) for given in each)


def is_one_activation(activation: Any) -> bool:
    """Return whether an activation is one, for several layers, and not a list with one a layer.

    Parameters
    ----------
    activation : str, activation, pair of functions, or sequence of these
        What was given.
    """
    one = isinstance(activation, str) or has_parts(activation, Activation) or is_pair(activation, Activation)
    return one or not isinstance(activation, Sequence)


def resolve_measured_activations(activations: Sequence[Any], loss: Any) -> tuple[Any, ...]:
    """Return the activations that a loss is measured through, if it suits the output layer.

    A loss that takes the net of its ``output_activation``, as the cross-entropies do, is measured at that net, whether the
    output layer has this activation or none: over a softmax the cross-entropy is that of the softmax's probabilities.

    Parameters
    ----------
    activations : sequence of activation
        The network's.
    loss : loss
        What is measured.

    Raises
    ------
    ValueError
        If the output layer has another activation, or one that is negative for a loss of positive outputs. An activation of
        the user's own is taken to suit.
    """
    *hidden, output = activations
    if type(output) not in ACTIVATIONS.values():
        return tuple(activations)
    name, given = type(loss).__name__, type(output).__name__
    own = getattr(loss, "output_activation", None)
    if own is not None:
        if isinstance(output, type(own)):
            return (*hidden, Identity())
        if not isinstance(output, Identity):
            fitting = next((known for known, kind in ACTIVATIONS.items() if kind is type(own)), type(own).__name__)
            raise ValueError(
                f"the output layer's activation is {given}, and {name} takes the raw net: make the network with "
                f"output_activation='identity', which predicts nets, or {fitting!r}, which predicts probabilities."
            )
    if getattr(loss, "takes_positive", False) and bounds_of(output)[0] < 0.0:
        raise ValueError(
            f"the output layer's activation is {given}, whose values may be negative, and {name} takes positive ones: make the "
            "network with output_activation='exp' or 'softplus'."
        )
    return tuple(activations)


def resolve_initializer(initializer: Any) -> Callable[..., Any]:
    """Return the initializer that was named or given.

    Parameters
    ----------
    initializer : str or callable
        A name, or a function of a NumPy generator and a shape.

    Raises
    ------
    ValueError
        If the name is not known.
    TypeError
        If it is neither.
    """
    if isinstance(initializer, str):
        return find("initializer", initializer, INITIALIZERS)
    if callable(initializer):
        return initializer
    raise TypeError(f"initializer is {initializer!r}, and should be a name or a function of a generator and a shape.")


def resolve_loss(loss: Any) -> Any:
    """Return the loss that was named or given.

    Parameters
    ----------
    loss : str, loss, or pair of functions
        A name, an object with ``value`` and ``slope``, or the two functions.

    Raises
    ------
    ValueError
        If the name is not known.
    TypeError
        If it is no loss.
    """
    return resolve("loss", loss, LOSSES, Loss)


def resolve_optimizer(optimizer: Any, learning_rate: Any) -> Any:
    """Return the optimizer that was named or given, with the learning rate where it was named.

    Parameters
    ----------
    optimizer : str, optimizer, or pair of functions
        A name, an object with ``init`` and ``update``, or the two functions.
    learning_rate : float, schedule or None
        None for the optimizer's own.

    Raises
    ------
    ValueError
        If the name is not known, or the learning rate is not above 0, or is given beside an optimizer that has one.
    TypeError
        If it is no optimizer.
    """
    if learning_rate is None:
        return resolve("optimizer", optimizer, OPTIMIZERS, Optimizer)
    if not isinstance(optimizer, str):
        raise ValueError(f"learning_rate is {learning_rate!r}, but {optimizer!r} has its own: give it there.")
    return find("optimizer", optimizer, OPTIMIZERS)(learning_rate=learning_rate)


def check_count(given: Any, name: str) -> int:
    """Return a count as an integer.

    Parameters
    ----------
    given : int
        What was given.
    name : str
        What the message calls it.

    Raises
    ------
    ValueError
        If it is no whole number from 1 up.
    """
    if not is_number(given) or not math.isfinite(given) or given != int(given) or given < 1:
        raise ValueError(f"{name} is {given!r}, and should be a whole number from 1 up.")
    return int(given)


def check_seed(seed: int | None) -> int | None:
    """Return a seed.

    Parameters
    ----------
    seed : int or None
        None for numbers that differ each time.

    Raises
    ------
    ValueError
        If it is no whole number from 0 up.
    """
    if seed is not None and (not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0):
        raise ValueError(f"seed is {seed!r}, and should be a whole number from 0 up, or None.")
    return seed


def check_decimals(decimals: int | None) -> int | None:
    """Return a number of decimals.

    Parameters
    ----------
    decimals : int or None
        None for no rounding.

    Raises
    ------
    ValueError
        If it is no whole number from 0 to 15.
    """
    if decimals is not None and (not isinstance(decimals, int | np.integer) or not 0 <= decimals <= 15):
        raise ValueError(f"decimals is {decimals!r}, and should be a whole number from 0 to 15, or None.")
    return decimals


def check_callbacks(callbacks: Sequence[Callable[..., Any]]) -> tuple[Callable[..., Any], ...]:
    """Return the callbacks as a tuple.

    Parameters
    ----------
    callbacks : sequence of callable
        What was given.

    Raises
    ------
    TypeError
        If one cannot be called.
    """
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks is {callbacks!r}, and should be a list of functions of a training.")
    given = tuple(callbacks)
    for callback in given:
        if not callable(callback) or isinstance(callback, type):
            other = (
                "; scikit-learn's callbacks go to an estimator's set_callbacks"
                if hasattr(callback, "on_fit_task_begin")
                else ""
            )
            raise TypeError(
                f"callbacks holds {callback!r}, and should hold functions of a training, such as EarlyStopping(){other}."
            )
    return given


def check_checkpoint(
    checkpoint: str | os.PathLike[str] | None, checkpoint_every: int | None, resume: bool
) -> tuple[str | None, int | None]:
    """Return where a training is kept, and after how many batches.

    Parameters
    ----------
    checkpoint : path or None
        Where.
    checkpoint_every : int or None
        After how many batches, besides at the end of an epoch.
    resume : bool
        Whether to go on from what is there.

    Raises
    ------
    ValueError
        If there is no checkpoint for what else is asked, or the number is not a whole one from 1 up.
    FileExistsError
        If a file is there that is not to be gone on with.
    """
    every = None if checkpoint_every is None else check_count(checkpoint_every, "checkpoint_every")
    if checkpoint is None:
        if resume or every:
            raise ValueError(
                "resume and checkpoint_every need a checkpoint: name the file, as in checkpoint='run.safetensors'."
            )
        return None, None
    path = os.path.abspath(checkpoint)
    if os.path.exists(path) and not resume:
        raise FileExistsError(
            f"{path} is there already: give resume=True to go on from it, or delete it, or name another file as checkpoint."
        )
    return path, every


def check_dropout(dropout: float | Sequence[float], hidden_layers: int) -> tuple[float, ...]:
    """Return a dropout rate a hidden layer.

    Parameters
    ----------
    dropout : float or sequence of float
        One for every hidden layer, or one each.
    hidden_layers : int
        How many there are.

    Raises
    ------
    ValueError
        If a rate is not from 0 to below 1, or there are not as many as hidden layers.
    """
    rates: Sequence[Any] = dropout if isinstance(dropout, Sequence) else [dropout] * hidden_layers
    if len(rates) != hidden_layers or not all(is_number(rate) and 0.0 <= rate < 1.0 for rate in rates):
        raise ValueError(
            f"dropout is {dropout!r}, and should be a share from 0 to below 1, or one for each of the "
            f"{hidden_layers} hidden layers."
        )
    return tuple(float(rate) for rate in rates)
