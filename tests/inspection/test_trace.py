"""A trace holds every value that the article prints, exactly or with the article's rounding."""

import numpy as np
import pytest

import portable_bp as bp

WEIGHTS = [
    [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]],
    [[0.25, 0.30, 0.35, 0.40], [0.45, 0.50, 0.55, 0.60], [0.65, 0.70, 0.75, 0.80]],
    [[0.3, 0.4, 0.5], [0.6, 0.7, 0.8]],
]
# What the article prints; its net_d1, 0.9441, is a misprint: with and without rounding it is 0.9440.
PRINTED = {
    ("b", "out"): [0.5250, 0.5744, 0.6225, 0.6682],
    ("c", "net"): [0.7887, 1.2667, 1.7448],
    ("c", "out"): [0.6876, 0.7802, 0.8513],
    ("d", "net"): [0.9440, 1.6397],
    ("d", "out"): [0.7199, 0.8375],
}
EXACT = {
    ("b", "out"): [0.52497919, 0.57444252, 0.62245933, 0.66818777],
    ("c", "net"): [0.78871343, 1.26672719, 1.74474095],
    ("c", "out"): [0.68755501, 0.78018198, 0.85128825],
    ("d", "net"): [0.94398342, 1.63969100],
    ("d", "out"): [0.71990359, 0.83749289],
}


def article(on_target):
    return bp.Network.from_weights(WEIGHTS, activation="sigmoid", backend=on_target.flag, dtype="float64")


def test_the_article_s_values_without_rounding(on_target):
    trace = article(on_target).trace([1, 0], [0, 1])
    for (letter, field), expected in EXACT.items():
        on_target.assert_close(getattr(trace[letter], field), expected, rtol=0.0, atol=1e-8)


def test_the_article_s_values_with_its_rounding(on_target):
    trace = article(on_target).trace([1, 0], [0, 1], decimals=4)
    for (letter, field), expected in PRINTED.items():
        on_target.assert_close(getattr(trace[letter], field), expected, rtol=0.0, atol=1e-12)


def test_rounding_is_carried_all_the_way_back():
    """The whole way back by hand, each result rounded to 4 decimals before the next calculation takes it."""
    trace = bp.Network.from_weights(WEIGHTS, backend="numpy", dtype="float64").trace([1, 0], [0, 1], decimals=4)
    by_hand = {("a", "out"): np.array([1.0, 0.0]), **{key: np.array(value) for key, value in PRINTED.items()}}
    slope = np.round(by_hand["d", "out"] - np.array([0.0, 1.0]), 4)
    for letter, below, level in (("d", "c", 2), ("c", "b", 1), ("b", "a", 0)):
        out = by_hand[letter, "out"]
        delta = np.round(slope * out * (1 - out), 4)
        np.testing.assert_allclose(trace[letter].delta, delta, atol=1e-12)
        gradient = np.round(np.outer(delta, by_hand[below, "out"]), 4)
        np.testing.assert_allclose(trace[letter].gradient.weight, gradient, atol=1e-12)
        slope = np.round(np.array(WEIGHTS[level]).T @ delta, 4)
    assert trace.error == np.round(0.5 * (0.7199**2 + (1 - 0.8375) ** 2), 4)


def test_the_error_is_the_article_s(on_target):
    trace = article(on_target).trace([1, 0], [0, 1])
    out = np.array(EXACT["d", "out"])
    on_target.assert_close(trace.error, 0.5 * ((np.array([0.0, 1.0]) - out) ** 2).sum(), rtol=1e-7)
    on_target.assert_close(trace.inputs, [1.0, 0.0])
    on_target.assert_close(trace.target, [0.0, 1.0])


def test_a_batch_and_one_sample_agree(on_target):
    network = on_target.network([3, 4, 2], "tanh", seed=0)
    x, target = [[0.1, 0.2, 0.3], [0.4, -0.5, 0.6]], [[1.0, 0.0], [0.0, 1.0]]
    whole, first = network.trace(x, target), network.trace(x[0], target[0])
    assert list(whole) == list(first) == ["b", "c"]
    for letter in whole:
        on_target.assert_close(first[letter].net, on_target.values(whole[letter].net)[0])
        on_target.assert_close(first[letter].delta, on_target.values(whole[letter].delta)[0] * 2)
    assert len(whole) == 2


def test_a_trace_s_gradient_is_the_gradient(on_target):
    network = on_target.network([3, 4, 2], "relu", "identity", seed=0)
    x, target = np.random.default_rng(0).normal(size=(5, 3)), [0, 1, 1, 0, 1]
    trace, gradient = network.trace(x, target, "cross_entropy"), network.gradient(x, target, "cross_entropy")
    for letter, layer in zip(trace, gradient, strict=True):
        on_target.assert_close(trace[letter].gradient.weight, on_target.values(layer.weight))
        on_target.assert_close(trace[letter].gradient.bias, on_target.values(layer.bias))


def test_an_unknown_layer():
    trace = bp.Network([2, 2], backend="numpy").trace([1, 0], [0, 1])
    with pytest.raises(KeyError, match="no layer 'a': the layers above the inputs, a, are b"):
        trace["a"]
