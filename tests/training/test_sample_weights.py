"""Sample weights of any scale: only their ratios matter."""

import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest

import portable_bp as bp

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(12, 3))
TARGET = GENERATOR.normal(size=(12, 2))
WEIGHT = GENERATOR.uniform(0.5, 2.0, 12)
SINGLE, DOUBLE = np.finfo("float32"), np.finfo("float64")


def make(on_target, dtype):
    return on_target.network([3, 5, 2], "tanh", "identity", dtype=dtype, seed=0)


def weighted_mean(network, shares):
    """Return the weighted mean loss, for weights that add up to one."""
    out = network.backend.to_numpy(network.predict(X)).astype(float)
    return float(np.sum(shares * 0.5 * np.sum((out - TARGET) ** 2, axis=1)))


def assert_counts(network, weight, shares):
    rtol = 1e-5 if str(network.backend.dtype).endswith("float32") else 1e-12
    found = float(network.backend.to_numpy(network.loss(X, TARGET, sample_weight=weight)))
    np.testing.assert_allclose(found, weighted_mean(network, np.asarray(shares, float)), rtol=rtol)
    history = network.fit(X, TARGET, sample_weight=weight, epochs=1, learning_rate=1e-6)
    np.testing.assert_allclose(history.loss[0], found, rtol=rtol)


HALF = [1.0 / 3.0, 2.0 / 3.0] + [0.0] * 10


def rest(first, second, **options):
    return np.asarray([first, second] + [0] * 10, **options)


CASES = {
    "tiny": (rest(1e-50, 2e-50), HALF),
    "a list": (rest(1e-50, 2e-50).tolist(), HALF),
    "tuples": (tuple(rest(1e-200, 2e-200)), HALF),
    "subnormal": (rest(5e-324, 1e-323), HALF),
    "the largest": (rest(0.5 * DOUBLE.max, DOUBLE.max), HALF),
    "all the largest": (np.full(12, DOUBLE.max), [1.0 / 12.0] * 12),
    "around the largest of float32": (np.full(12, 1e38), [1.0 / 12.0] * 12),
    "float32": (np.full(12, SINGLE.max), [1.0 / 12.0] * 12),
    "float16": (rest(6e-8, 1.2e-7, dtype="float16"), HALF),
    "float16 sums": (np.full(12, 6e4, dtype="float16"), [1.0 / 12.0] * 12),
    "mixed": (rest(1e-300, 1e300), [0.0, 1.0] + [0.0] * 10),
    "whole": (rest(2**60, 2**61), HALF),
    "whole and odd": (rest(2**53 + 1, 2**54 + 2), HALF),
    "unsigned": (rest(2**62, 2**63, dtype="uint64"), HALF),
    "Python's own whole numbers": ([2**60, 2**61] + [0] * 10, HALF),
    "bool": (np.arange(12) < 3, [1.0 / 3.0] * 3 + [0.0] * 9),
    "pandas": (pd.Series(rest(1e-50, 2e-50), index=range(12, 0, -1)), HALF),
    "long": (np.ldexp(np.asarray(rest(1, 2), dtype="longdouble"), 1100), HALF),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_sample_weights_on_the_host(on_target, dtype, case):
    if case == "long" and np.finfo("longdouble").max == DOUBLE.max:
        pytest.skip("this system's long double is a double")
    assert_counts(make(on_target, dtype), *CASES[case])


@pytest.mark.parametrize("exponent", [-120, -60, 0, 60, 120])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sample_weights_on_the_device(on_target, dtype, exponent):
    """Weights in float64 may be out of the range of a float32 network."""
    for given in ("float32", "float64"):
        rounded = WEIGHT.astype(given)
        scaled = rounded * rounded.dtype.type(2.0) ** (exponent * (1 if given == "float32" else 8))
        assert_counts(
            make(on_target, dtype), on_target.backend(given).asarray(scaled), rounded.astype(float) / rounded.sum(dtype=float)
        )


@hypothesis.given(
    exponents=st.lists(st.integers(-1070, 1020), min_size=12, max_size=12), dtype=st.sampled_from(["float32", "float64"])
)
def test_sample_weights_of_any_magnitude(exponents, dtype):
    network = bp.Network([3, 5, 2], "tanh", "identity", backend="numpy", dtype=dtype, seed=0)
    largest = max(exponents)
    shares = np.asarray([math.ldexp(float(w), e - largest) for w, e in zip(WEIGHT, exponents, strict=True)])
    assert_counts(network, [math.ldexp(w, e) for w, e in zip(WEIGHT, exponents, strict=True)], shares / shares.sum())


def test_batch_without_weight_changes_nothing(on_target):
    """The last batch, which is smaller than the others, or the first."""
    for zeros in (slice(8, 12), slice(0, 5)):
        weight = WEIGHT.copy()
        weight[zeros] = 0.0
        network, steps = make(on_target, "float64"), make(on_target, "float64")
        order = np.random.default_rng(4).permutation(12)
        given = np.argsort(order)  # so that the batches are in the order of the samples
        history = network.fit(X[given], TARGET[given], batch_size=5, seed=4, sample_weight=weight[given])
        for start in (0, 5, 10):
            rows = slice(start, min(start + 5, 12))
            if weight[rows].any():
                share = weight[rows].mean() / weight.mean()
                steps.fit(X[rows], TARGET[rows], learning_rate=0.1 * share, sample_weight=weight[rows])
        assert np.isfinite(history.loss).all()
        on_target.assert_close(network.layers[0].weight, on_target.values(steps.layers[0].weight), rtol=1e-10)


@pytest.mark.parametrize("weight", [np.zeros(12), -WEIGHT, np.full(12, np.nan), WEIGHT[:3], [0.0] * 12])
def test_errors_name_the_sample_weights_of_validation_data(weight):
    network = bp.Network([3, 5, 2], backend="numpy", seed=0)
    layers = network.layers
    with pytest.raises(ValueError, match="^in validation_data, sample_weight h"):
        network.fit(X, TARGET, validation_data=(X, TARGET, weight))
    assert network.layers is layers


def test_sample_weights_of_another_library_are_refused(torch):
    """Checking weights of float64 does not turn on jax_enable_x64."""
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    try:
        network = bp.Network([3, 5, 2], backend="jax", seed=0)
        with pytest.raises(TypeError, match="sample_weight cannot be used: it is a torch array"):
            network.fit(X, TARGET, sample_weight=torch.ones(12, dtype=torch.float64))
        assert not jax.config.jax_enable_x64
    finally:
        jax.config.update("jax_enable_x64", before)
