"""Initial weights have the variance or the bounds that their initializer promises."""

import math

import numpy as np
import pytest

from portable_bp.algorithm.initializers import INITIALIZERS

SHAPE = (300, 500)


@pytest.mark.parametrize(
    ("name", "variance"),
    [("glorot", 2 / 800), ("he", 2 / 500), ("lecun", 1 / 500)],
)
@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_variance(name, variance, distribution):
    weight = INITIALIZERS[f"{name}_{distribution}"](np.random.default_rng(0), SHAPE)
    assert weight.shape == SHAPE
    assert weight.mean() == pytest.approx(0.0, abs=5 * math.sqrt(variance / weight.size))
    assert weight.var() == pytest.approx(variance, rel=0.02)
    if distribution == "uniform":
        assert np.abs(weight).max() <= math.sqrt(3 * variance)


def test_glorot_uniform_is_scikit_learn_s_bound():
    """scikit-learn's bound is sqrt(factor / (fan_in + fan_out)), where factor is 6 except for logistic units."""
    weight = INITIALIZERS["glorot_uniform"](np.random.default_rng(0), SHAPE)
    assert np.abs(weight).max() == pytest.approx(math.sqrt(6 / 800), rel=1e-3)


def test_uniform_and_zeros():
    weight = INITIALIZERS["uniform"](np.random.default_rng(0), SHAPE)
    assert -0.5 <= weight.min() < -0.49 and 0.49 < weight.max() <= 0.5
    assert not INITIALIZERS["zeros"](np.random.default_rng(0), SHAPE).any()
