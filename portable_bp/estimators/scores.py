"""The scores of scikit-learn's classifiers and regressors, computed where the arrays are."""

from __future__ import annotations

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled


def accuracy(backend: Backend, predicted: Array, target: Array, sample_weight: Array | None) -> float:
    """Return the fraction of samples whose labels, of shape (samples,) or (samples, labels), are all correct."""
    right = compiled(backend, _is_right)(predicted, target)
    if sample_weight is None:
        return int(backend.to_numpy(compiled(backend, _count)(right))) / right.shape[0]
    return float(backend.to_numpy(compiled(backend, _weighted_share)(right, sample_weight)))


def r_squared(backend: Backend, predicted: Array, target: Array, sample_weight: Array | None) -> float:
    """Return R^2 averaged over the outputs of arrays of shape (samples, outputs); NaN if a prediction is not finite.

    As in scikit-learn, an output whose target is constant counts as 1 if every prediction is right, and as 0 otherwise.
    """
    return float(backend.to_numpy(compiled(backend, _r_squared)(predicted, target, sample_weight)))


def _is_right(predicted: Array, target: Array) -> Array:
    right = predicted == namespace(target).astype(target, predicted.dtype)
    return namespace(right).all(right, axis=-1) if right.ndim == 2 else right


def _count(right: Array) -> Array:
    xp = namespace(right)
    return xp.sum(xp.astype(right, xp.int32))


def _weighted_share(right: Array, sample_weight: Array) -> Array:
    xp = namespace(right)
    return xp.sum(xp.astype(right, sample_weight.dtype) * sample_weight) / xp.sum(sample_weight)


def _r_squared(predicted: Array, target: Array, sample_weight: Array | None) -> Array:
    xp = namespace(predicted)

    def total(array: Array) -> Array:
        return xp.sum(array if sample_weight is None else sample_weight[:, None] * array, axis=0)

    weight = target.shape[0] if sample_weight is None else xp.sum(sample_weight)
    residual, variation = total((target - predicted) ** 2), total((target - total(target) / weight) ** 2)
    varies = variation > 0.0
    constant = xp.where(residual > 0.0, 0.0, 1.0 + 0.0 * residual)
    scores = xp.where(varies, 1.0 - residual / xp.where(varies, variation, 1.0 + variation), constant)
    return xp.where(xp.all(xp.isfinite(predicted)), xp.mean(scores), xp.nan)
