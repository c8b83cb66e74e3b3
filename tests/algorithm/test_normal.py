"""The normal distribution, and with it the error function, agrees with SciPy's."""

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.activations import GELU
from portable_bp.algorithm.arrays import Signal
from portable_bp.algorithm.normal import normal_density, normal_distribution

special = pytest.importorskip("scipy.special")
stats = pytest.importorskip("scipy.stats")

ENDS = [0.0, -0.0, 5e-324, -1e-300, 1e-8, np.inf, -np.inf, 1e308, -1e308]
X = np.concatenate([np.linspace(-45.0, 45.0, 20_001), np.random.default_rng(0).normal(size=20_000), ENDS])


def run(on_target, function, x, dtype="float64"):
    backend = on_target.backend(dtype)
    return on_target.values(backend.compile(function)(backend.asarray(x)), dtype)


def test_erf_agrees_with_scipy(on_target):
    """erf(x) is 2 Phi(sqrt(2) x) - 1."""
    cumulative = run(on_target, normal_distribution, X[np.abs(X) < 1e300] * np.sqrt(2.0))
    np.testing.assert_allclose(2.0 * cumulative - 1.0, special.erf(X[np.abs(X) < 1e300]), rtol=0.0, atol=1e-15)


def test_the_tail_keeps_its_digits(on_target):
    """The exponent x^2 / 2 is rounded, so the relative error of its power grows with it, in SciPy too."""
    expected = special.ndtr(X)
    normal = expected > 1e-300  # some devices flush smaller numbers to zero
    cumulative = run(on_target, normal_distribution, X)
    error = np.abs(cumulative - expected)[normal] / expected[normal]
    np.testing.assert_array_less(error, 1e-15 * (1.0 + np.clip(-X[normal], 0.0, 40.0) ** 2))
    np.testing.assert_allclose(cumulative[~normal], 0.0, atol=1e-300)


def test_the_density_agrees_with_scipy(on_target):
    density = run(on_target, normal_density, X)
    np.testing.assert_allclose(density, stats.norm.pdf(np.clip(X, -99.0, 99.0)), rtol=1e-12, atol=1e-300)


def test_float32(on_target):
    x = np.linspace(-30.0, 30.0, 5_001, dtype=np.float32)
    cumulative, density = (run(on_target, function, x, "float32") for function in (normal_distribution, normal_density))
    np.testing.assert_allclose(cumulative, special.ndtr(x.astype(np.float64)), rtol=0.0, atol=3e-7)
    np.testing.assert_allclose(density, stats.norm.pdf(x.astype(np.float64)), rtol=0.0, atol=1e-7)


def test_nan_stays_nan():
    for function in (normal_distribution, normal_density, GELU().value):
        np.testing.assert_array_equal(np.isnan(function(np.array([np.nan, 0.0]))), [True, False])


def test_gelu_agrees_with_scipy(on_target):
    x = X[np.isfinite(X)]
    network = bp.Network.from_weights([[[1.0]]], activation="gelu", backend=on_target.flag, dtype="float64")
    out = on_target.values(network.predict(x[:, None]))[:, 0]
    np.testing.assert_allclose(out, x * special.ndtr(x), rtol=1e-12, atol=1e-290)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_slope_of_gelu_at_and_around_zero(on_target, dtype):
    net = np.array([0.0, -0.0, 1e-45, -1e-40, 1e-31, -1e-29, 1e-20, -1e-8], dtype)
    backend = on_target.backend(dtype)
    on_device = backend.asarray(net)

    def slope(net):
        return GELU().delta(net * 0.0 + 1.0, Signal(net, GELU().value(net)))

    found = on_target.values(backend.compile(slope)(on_device), dtype)
    wide = net.astype(np.float64)
    np.testing.assert_allclose(found, special.ndtr(wide) + wide * stats.norm.pdf(wide), rtol=4.0 * np.finfo(dtype).eps)
