"""Class labels and their codes, on the host, where labels may be text, or on a device.

Codes are what the network is trained on. Their shape and values depend on the kind of target: "multiclass", class indices of
shape (samples,); "binary", 0 or 1 of shape (samples, 1); "multilabel", 0 or 1 of shape (samples, labels).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import array_api_compat
import numpy as np
import scipy.sparse
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import unique_labels

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled
from portable_bp.estimators.devices import is_host, run_in_place, to_host

Kind: TypeAlias = Literal["binary", "multiclass", "multilabel"]


def find_labels(backend: Backend, y: Any) -> tuple[Array, Kind]:
    """Return the sorted classes in checked targets, where the targets are, and the kind of target."""
    if is_host(y):
        binarizer: Any = LabelBinarizer().fit(y)
        return binarizer.classes_, "multilabel" if binarizer.y_type_.startswith("multilabel") else binarizer.y_type_
    require_whole_numbers(backend, y)
    if y.ndim == 1:
        # The number of classes is a shape, which some libraries need before they compile: it is read first.
        ordered, ranks = compiled(backend, _rank)(y)
        count = int(backend.to_numpy(ranks[-1, ...]))
        classes = compiled(backend, _first_of_each_rank, count, y.dtype)(ordered, ranks)
        return classes, "multiclass" if classes.shape[0] > 2 else "binary"
    if _holds(backend, _has_other_than_0_and_1, y):
        raise ValueError(
            f"y has shape {tuple(y.shape)} and values other than 0 and 1: give one class per sample, or one column of 0 and 1 "
            "per label."
        )
    return _to_device(backend, np.arange(y.shape[1])), "multilabel"


def distinct_labels(backend: Backend, y: Any) -> np.ndarray:
    """Return the sorted classes in checked targets, on the host."""
    return unique_labels(y) if is_host(y) else to_host(find_labels(backend, y)[0])


def encode_labels(backend: Backend, y: Any, classes: Array, kind: Kind) -> Array:
    """Return the codes of checked targets on the backend; the classes are sorted and where the targets are."""
    if kind == "multilabel":
        y = y.toarray() if scipy.sparse.issparse(y) else y
        if y.ndim != 2 or y.shape[1] != classes.shape[0] or _holds(backend, _has_other_than_0_and_1, y):
            raise ValueError(
                f"y has shape {tuple(y.shape)}, but the model has {classes.shape[0]} labels: give a column of 0 and 1 for each."
            )
        return backend.asarray(run_in_place(backend, _as_integers, y))
    if y.ndim != 1:
        raise ValueError(f"y has shape {tuple(y.shape)}, but the model was fitted to classes: give one class per sample.")
    codes = run_in_place(backend, _search, classes, y)
    if _holds(backend, _has_unknown, classes, y, codes):
        raise ValueError(
            f"y holds classes other than {to_host(classes)}, which are all that the model knows: leave those samples out, or "
            "call fit with all classes."
        )
    return backend.asarray(codes, "int32") if kind == "multiclass" else backend.asarray(codes[:, None])


def decide(kind: Kind, probability: Array) -> Array:
    """Return the most likely codes, as int32, given probabilities of shape (samples, outputs)."""
    xp = namespace(probability)
    return xp.astype(xp.argmax(probability, axis=-1) if kind == "multiclass" else probability > 0.5, xp.int32)


def decode_labels(kind: Kind, classes: Array, codes: Array) -> Array:
    """Return the labels of codes, in the classes' dtype: of shape (samples,), or (samples, labels) of 0 and 1."""
    xp = namespace(codes)
    if kind == "multilabel":
        return xp.astype(codes, classes.dtype)
    return xp.take(classes, xp.reshape(codes, (-1,)), axis=0)


def place_labels(backend: Backend, classes: Array, data: Any) -> Array:
    """Return classes where data is: on the host or on the backend, except that text is always on the host."""
    if is_host(data):
        return to_host(classes)
    return _to_device(backend, classes) if is_host(classes) else classes


def require_whole_numbers(backend: Backend, y: Array) -> None:
    """Raise a ValueError if targets on a device have fractions, as scikit-learn does on the host."""
    if namespace(y).isdtype(y.dtype, "real floating") and _holds(backend, _has_fractions, y):
        raise ValueError("Unknown label type: continuous. y holds fractions, but a classifier needs classes: give integers.")


def _to_device(backend: Backend, labels: np.ndarray) -> Any:
    """Return host labels on the backend; those that it cannot hold, such as text, as they are."""
    if labels.dtype.kind not in "biuf":
        return labels
    if labels.dtype.kind == "b":
        return compiled(backend, _is_one)(backend.asarray(labels, "int32"))
    # Few libraries support wider unsigned integers.
    wide = labels.dtype.kind == "u" and labels.dtype.itemsize > 1
    moved = backend.asarray(labels, "int64" if wide else labels.dtype.name)
    return moved if np.array_equal(backend.to_numpy(moved), labels) else labels


def _holds(backend: Backend, test: Any, *arrays: Array) -> bool:
    """Read the result of a test of arrays, run where they are."""
    return bool(to_host(run_in_place(backend, test, *arrays)))


def _is_one(array: Array) -> Array:
    return array == 1


def _has_fractions(y: Array) -> Array:
    xp = namespace(y)
    return xp.any(xp.floor(y) != y)


def _has_other_than_0_and_1(y: Array) -> Array:
    y = _as_integers(y)
    return namespace(y).any((y != 0) & (y != 1))


def _has_unknown(classes: Array, y: Array, codes: Array) -> Array:
    xp = namespace(y)
    return xp.any(xp.take(classes, xp.minimum(codes, classes.shape[0] - 1), axis=0) != y)


def _rank(y: Array) -> tuple[Array, Array]:
    """Return labels in order, and for each the number of distinct labels up to it."""
    xp = namespace(y)
    ordered = xp.sort(_as_integers(y))
    is_new = xp.concat([xp.ones_like(ordered[:1], dtype=xp.bool), ordered[1:] != ordered[:-1]])
    return ordered, xp.cumulative_sum(xp.astype(is_new, xp.int32), dtype=xp.int32)


def _first_of_each_rank(count: int, dtype: Any, ordered: Array, ranks: Array) -> Array:
    xp = namespace(ordered)
    wanted = xp.arange(1, count + 1, dtype=ranks.dtype, device=array_api_compat.device(ranks))
    return xp.astype(xp.take(ordered, xp.searchsorted(ranks, wanted), axis=0), dtype)


def _search(classes: Array, y: Array) -> Array:
    return namespace(y).searchsorted(_as_integers(classes), _as_integers(y))


def _as_integers(y: Array) -> Array:
    """Return booleans and small unsigned integers, which not every library sorts and searches, as int32."""
    xp = namespace(y)
    narrow = [getattr(xp, name) for name in ("bool", "uint8", "uint16") if hasattr(xp, name)]
    return xp.astype(y, xp.int32) if y.dtype in narrow else y
