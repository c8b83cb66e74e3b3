"""The scores of scikit-learn's classifiers and regressors, where the arrays are: the share that is right, and R^2."""

from __future__ import annotations

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled


def accuracy(backend: Backend, predicted: Array, target: Array, sample_weight: Array | None) -> float:
    """Return the share of the samples whose labels are all right.

    Parameters
    ----------
    backend : Backend
        Where the arrays are.
    predicted, target : array, shape (samples,) or (samples, labels)
        Labels, or their numbers, which are whole.
    sample_weight : array, shape (samples,), or None
        What each sample counts for.
    """
    right = compiled(backend, _right)(predicted, target)
    if sample_weight is None:
        return int(backend.to_numpy(compiled(backend, _count)(right))) / right.shape[0]
    return float(backend.to_numpy(compiled(backend, _weighed)(right, sample_weight)))


def r_squared(backend: Backend, predicted: Array, target: Array, sample_weight: Array | None) -> float:
    """Return the share of the target's variance that is explained, averaged over outputs.

    For an output whose target is constant it is 1 if every prediction is right, else 0, as in scikit-learn.

    Parameters
    ----------
    backend : Backend
        Where the arrays are.
    predicted, target : array, shape (samples, outputs)
        What the network gives and what it should give.
    sample_weight : array, shape (samples,), or None
        What each sample counts for.

    Returns
    -------
    float
        At most 1; NaN where a prediction is not finite.
    """
    return float(backend.to_numpy(compiled(backend, _explained)(predicted, target, sample_weight)))


def _right(predicted: Array, target: Array) -> Array:
    right = predicted == namespace(target).astype(target, predicted.dtype)
    return namespace(right).all(right, axis=-1) if right.ndim == 2 else right


def _count(right: Array) -> Array:
    xp = namespace(right)
    return xp.sum(xp.astype(right, xp.int32))


def _weighed(right: Array, sample_weight: Array) -> Array:
    xp = namespace(right)
    return xp.sum(xp.astype(right, sample_weight.dtype) * sample_weight) / xp.sum(sample_weight)


def _explained(predicted: Array, target: Array, sample_weight: Array | None) -> Array:
    xp = namespace(predicted)

    def total(array: Array) -> Array:
        return xp.sum(array if sample_weight is None else sample_weight[:, None] * array, axis=0)

    counted = target.shape[0] if sample_weight is None else xp.sum(sample_weight)
    missed, spread = total((target - predicted) ** 2), total((target - total(target) / counted) ** 2)
    varies = spread > 0.0
    constant = xp.where(missed > 0.0, 0.0, 1.0 + 0.0 * missed)
    explained = xp.where(varies, 1.0 - missed / xp.where(varies, spread, 1.0 + spread), constant)
    return xp.where(xp.all(xp.isfinite(predicted)), xp.mean(explained), xp.nan)
