"""Class labels and their numbers, on the host, where they may be strings, or on a device.

A target is "multiclass", numbers of classes of shape (samples,); "binary", 0 or 1 of shape (samples, 1); or "multilabel", 0 or
1 of shape (samples, labels).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np
import scipy.sparse
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled
from portable_bp.estimators.places import is_host, put_labels, to_host


def find_labels(backend: Backend, y: Any) -> tuple[Any, str]:
    """Return the classes that targets name, sorted, and what kind of targets they are.

    Parameters
    ----------
    backend : Backend
        Where y is, if not on the host.
    y : array, shape (samples,) or (samples, labels)
        Targets.

    Raises
    ------
    ValueError
        If they are no classes.
    """
    if is_host(y):
        binarizer = LabelBinarizer().fit(y)
        return binarizer.classes_, "multilabel" if binarizer.y_type_.startswith("multilabel") else binarizer.y_type_
    refuse_fractions(backend, y)
    if y.ndim == 1:
        # How many classes there are is a shape, which some libraries must know before they compile: it is read alone.
        ordered, ranks = compiled(backend, _ranked)(y)
        count = int(backend.to_numpy(ranks[-1, ...]))
        classes = compiled(backend, _first_of_each, count, y.dtype)(ordered, ranks)
        return classes, "multiclass" if classes.shape[0] > 2 else "binary"
    if _holds(backend, _beyond_one, y):
        raise ValueError(
            f"y has shape {tuple(y.shape)} and more values than 0 and 1: give classes, or a column of 0 and 1 a label."
        )
    return put_labels(backend, np.arange(y.shape[1])), "multilabel"


def number_labels(backend: Backend, y: Any, classes: Any, kind: str) -> Array:
    """Return targets as numbers on the backend.

    Parameters
    ----------
    backend : Backend
        Where they go.
    y : array, shape (samples,) or (samples, labels)
        Targets.
    classes : array, shape (classes,)
        All classes that there are, sorted, where y is.
    kind : {"binary", "multiclass", "multilabel"}
        What kind of targets they are.

    Returns
    -------
    array, shape (samples,) of int32, or (samples, 1) or (samples, labels)
        As the module says.

    Raises
    ------
    ValueError
        If y holds others.
    """
    if kind == "multilabel":
        y = y.toarray() if scipy.sparse.issparse(y) else y
        if y.ndim != 2 or y.shape[1] != classes.shape[0] or _holds(backend, _beyond_one, y):
            raise ValueError(f"y has shape {tuple(y.shape)}: give a column of 0 and 1 for each of {classes.shape[0]} labels.")
        return backend.asarray(y if is_host(y) else compiled(backend, _as_numbers)(y))
    if y.ndim != 1:
        raise ValueError(f"y has shape {tuple(y.shape)}, and the model knows no columns of labels: give one class a sample.")
    numbers = np.searchsorted(classes, y) if is_host(y) else compiled(backend, _found)(classes, y)
    if _holds(backend, _missed, classes, y, numbers):
        raise ValueError(f"y has classes besides {to_host(classes)}, which the model knows: leave them out, or fit anew.")
    return backend.asarray(numbers, "int32") if kind == "multiclass" else backend.asarray(numbers[:, None])


def distinct_labels(backend: Backend, y: Any) -> np.ndarray:
    """Return the classes that targets name, sorted, on the host.

    Parameters
    ----------
    backend, y
        As `find_labels` takes them.

    Raises
    ------
    ValueError
        If they are no classes.
    """
    return unique_labels(y) if is_host(y) else backend.to_numpy(find_labels(backend, y)[0])


def place_labels(backend: Backend, classes: Any, on_host: bool) -> Any:
    """Return classes on the host or on the backend; text is on the host in any case.

    Parameters
    ----------
    backend : Backend
        Where they go, if not on the host.
    classes : array, shape (classes,)
        Anywhere.
    on_host : bool
        Whether they go to the host.
    """
    if on_host:
        return to_host(classes)
    return put_labels(backend, classes) if is_host(classes) else classes


def refuse_fractions(backend: Backend, y: Array) -> None:
    """Raise if targets on a device are no classes, as scikit-learn does on the host.

    Parameters
    ----------
    backend : Backend
        Where y is.
    y : array
        Targets.

    Raises
    ------
    ValueError
        If a number is not whole.
    """
    if namespace(y).isdtype(y.dtype, "real floating") and _holds(backend, _fractional, y):
        raise ValueError("Unknown label type: continuous. y holds fractions, and a classifier needs classes: give integers.")


def choose_labels(kind: str, probability: Array) -> Array:
    """Return the numbers of the labels that probabilities speak for.

    Parameters
    ----------
    kind : {"binary", "multiclass", "multilabel"}
        What kind of targets there were.
    probability : array, shape (samples, outputs)
        What the network gives.

    Returns
    -------
    array of int32, shape (samples,), (samples, 1) or (samples, labels)
        As the module says.
    """
    xp = namespace(probability)
    return xp.astype(xp.argmax(probability, axis=-1) if kind == "multiclass" else probability > 0.5, xp.int32)


def label_of(kind: str, classes: Array, numbers: Array) -> Array:
    """Return the labels that numbers stand for.

    Parameters
    ----------
    kind : {"binary", "multiclass", "multilabel"}
        What kind of targets there were.
    classes : array, shape (classes,)
        All classes.
    numbers : array of int32
        As `choose_labels` returns them.

    Returns
    -------
    array, shape (samples,), or (samples, labels) of 0 and 1
        In the classes' dtype.
    """
    xp = namespace(numbers)
    if kind == "multilabel":
        return xp.astype(numbers, classes.dtype)
    return xp.take(classes, xp.reshape(numbers, (-1,)), axis=0)


def _holds(backend: Backend, test: Callable[..., Array], *arrays: Any) -> bool:
    return bool(test(*arrays) if is_host(arrays[0]) else backend.to_numpy(compiled(backend, test)(*arrays)))


def _fractional(y: Array) -> Array:
    xp = namespace(y)
    return xp.any(xp.floor(y) != y)


def _beyond_one(y: Array) -> Array:
    y = _as_numbers(y)
    return namespace(y).any((y != 0) & (y != 1))


def _missed(classes: Array, y: Array, numbers: Array) -> Array:
    xp = namespace(y)
    return xp.any(xp.take(classes, xp.minimum(numbers, classes.shape[0] - 1), axis=0) != y)


def _ranked(y: Array) -> tuple[Array, Array]:
    """Return labels in order, and for each the number of different ones up to it."""
    xp = namespace(y)
    ordered = xp.sort(_as_numbers(y))
    is_new = xp.concat([xp.ones_like(ordered[:1], dtype=xp.bool), ordered[1:] != ordered[:-1]])
    return ordered, xp.cumulative_sum(xp.astype(is_new, xp.int32), dtype=xp.int32)


def _first_of_each(count: int, dtype: Any, ordered: Array, ranks: Array) -> Array:
    xp = namespace(ordered)
    numbers = xp.arange(1, count + 1, dtype=ranks.dtype, device=array_api_compat.device(ranks))
    return xp.astype(xp.take(ordered, xp.searchsorted(ranks, numbers), axis=0), dtype)


def _found(classes: Array, y: Array) -> Array:
    return namespace(y).searchsorted(_as_numbers(classes), _as_numbers(y))


def _as_numbers(y: Array) -> Array:
    """Return booleans and small unsigned integers, which not every library sorts and searches, as integers."""
    xp = namespace(y)
    few = [getattr(xp, name) for name in ("bool", "uint8", "uint16") if hasattr(xp, name)]
    return xp.astype(y, xp.int32) if y.dtype in few else y
