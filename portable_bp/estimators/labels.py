"""Class labels and their numbers, on the host, where they may be strings, or on a device.

A target is "multiclass", numbers of classes of shape (samples,); "binary", 0 or 1 of shape (samples, 1); or "multilabel", 0 or
1 of shape (samples, labels).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled
from portable_bp.estimators.places import is_host, to_host


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
    xp = namespace(y)
    if xp.isdtype(y.dtype, "real floating") and not backend.to_numpy(compiled(backend, _whole)(y)):
        raise ValueError("Unknown label type: continuous. y holds fractions, and a classifier needs classes: give integers.")
    classes = xp.sort(xp.unique_values(y))
    if y.ndim == 1:
        return classes, "multiclass" if classes.shape[0] > 2 else "binary"
    if classes.shape[0] > 2 or backend.to_numpy(compiled(backend, _beyond_one)(y)):
        raise ValueError(
            f"y has shape {tuple(y.shape)} and more values than 0 and 1: give classes, or a column of 0 and 1 a label."
        )
    integers = xp.__array_namespace_info__().default_dtypes(device=y.device)["integral"]
    return xp.arange(y.shape[1], dtype=integers, device=y.device), "multilabel"


def number_labels(backend: Backend, y: Any, classes: Any, kind: str) -> Array:
    """Return targets as numbers on the backend.

    Parameters
    ----------
    backend : Backend
        Where they go.
    y : array, shape (samples,) or (samples, labels)
        Targets, of these classes.
    classes : array, shape (classes,)
        Where y is.
    kind : {"binary", "multiclass", "multilabel"}
        What kind of targets they are.

    Returns
    -------
    array, shape (samples,) of int32, or (samples, 1) or (samples, labels)
        As the module says.
    """
    if kind == "multilabel":
        return backend.asarray(y.toarray() if scipy.sparse.issparse(y) else y)
    numbers = np.searchsorted(classes, y) if is_host(y) else compiled(backend, _found)(classes, y)
    if kind == "multiclass":
        return backend.asarray(numbers, "int32")
    return backend.asarray(numbers[:, None])


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
    """Return classes on the host or on the backend; strings are on the host in any case.

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
    if not is_host(classes) or classes.dtype.kind not in "iuf":
        return classes
    return backend.asarray(classes, classes.dtype.name)


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


def _whole(y: Array) -> Array:
    xp = namespace(y)
    return xp.all(xp.floor(y) == y)


def _beyond_one(y: Array) -> Array:
    xp = namespace(y)
    return xp.any((y != 0) & (y != 1))


def _found(classes: Array, y: Array) -> Array:
    return namespace(y).searchsorted(classes, y)
