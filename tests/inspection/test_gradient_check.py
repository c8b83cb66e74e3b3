"""The gradient check passes right gradients and names wrong ones, on every target, without changing the network."""

import numpy as np
import pytest

import portable_bp as bp
from tests.support.oracles import LOSSES, draw_target


@pytest.mark.parametrize("loss", LOSSES)
def test_a_right_gradient_passes(on_target, loss):
    output = "exp" if loss == "poisson" else "identity"
    network = on_target.network([3, 4, 2], "tanh", output, dtype="float32", seed=0)
    generator = np.random.default_rng(0)
    check = bp.check_gradient(network, generator.normal(size=(5, 3)), draw_target(loss, generator, 5, 2), loss)
    assert check.max_relative_error < 1e-8


def test_a_large_network_is_checked_along_random_directions():
    network = bp.Network([40, 60, 50, 3], "tanh", backend="numpy", seed=0)
    generator = np.random.default_rng(0)
    check = bp.check_gradient(network, generator.normal(size=(20, 40)), generator.normal(size=(20, 3)))
    assert check.max_relative_error < 1e-6


def wrong_tanh(slope, signal):
    return slope * (1.0 - signal.out)


@pytest.mark.parametrize(("sizes", "named"), [([3, 4, 2], "w_b"), ([40, 60, 2], "layer b, in random direction")])
def test_a_wrong_gradient_is_found_and_named(on_target, sizes, named):
    xp = on_target.backend().xp
    network = on_target.network(sizes, [(xp.tanh, wrong_tanh), "identity"], bias=False, seed=0)
    generator = np.random.default_rng(0)
    check = bp.check_gradient(network, generator.normal(size=(5, sizes[0])), generator.normal(size=(5, 2)))
    assert check.max_relative_error > 1e-3
    assert named in check.worst.name
    assert check.worst.backpropagation != pytest.approx(check.worst.finite_difference)


def test_a_gradient_of_nan_does_not_pass():
    network = bp.Network([3, 4, 2], [(np.tanh, lambda slope, signal: slope * np.nan), "identity"], backend="numpy", seed=0)
    check = bp.check_gradient(network, np.ones((5, 3)), np.ones((5, 2)))
    assert not check.max_relative_error < 1.0
    assert np.isnan(check.worst.backpropagation)


def test_the_names_are_the_article_s():
    """The slope of w_d4, the fourth weight to layer d, is that from c_1 to d_2; the article's second label is a misprint."""

    def wrong_for_one_neuron(slope, signal):
        return slope * np.array([1.0, 3.0])

    network = bp.Network([2, 3, 2], ["sigmoid", (lambda net: net, wrong_for_one_neuron)], bias=False, backend="numpy", seed=0)
    check = bp.check_gradient(network, [1.0, 0.0], [0.0, 1.0])
    assert check.worst.name in ("w_c4", "w_c5", "w_c6")


def test_the_network_is_not_changed():
    network = bp.Network([2, 3, 1], backend="numpy", seed=0)
    before = [layer.weight.copy() for layer in network.layers]
    bp.check_gradient(network, [1.0, 0.0], [1.0])
    for layer, weight in zip(network.layers, before, strict=True):
        np.testing.assert_array_equal(layer.weight, weight)


def test_a_custom_loss_is_checked(on_target):
    def value(out, target):
        return on_target.backend().xp.sum((out - target) ** 4, axis=-1)

    def slope(out, target):
        return 4.0 * (out - target) ** 3

    def wrong(out, target):
        return 3.0 * (out - target) ** 3

    network = on_target.network([2, 3, 2], "silu", seed=0)
    assert bp.check_gradient(network, [[1.0, 0.0]], [[1.0, 2.0]], loss=(value, slope)).max_relative_error < 1e-7
    assert bp.check_gradient(network, [[1.0, 0.0]], [[1.0, 2.0]], loss=(value, wrong)).max_relative_error > 1e-3
