"""The gradient check passes right gradients and names wrong ones, on every target, without changing the network."""

import itertools
import re

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.inspection.finite_differences import AGREES, DIFFERS, KINK, UNDECIDED, compare
from tests.support.oracles import ACTIVATIONS, LOSSES, draw_target, torch_gradient


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


# The report: a line for each layer, and a verdict that names what is wrong.


def test_every_layer_is_reported(on_target):
    network = on_target.network([3, 4, 3, 2], "silu", "softmax", seed=0)
    generator = np.random.default_rng(0)
    check = bp.check_gradient(
        network, generator.normal(size=(5, 3)), draw_target("cross_entropy", generator, 5, 2), "cross_entropy"
    )
    assert check.passed
    assert [layer.letter for layer in check.layers] == ["b", "c", "d"]
    for layer in check.layers:
        assert layer.passed and layer.verdict == "agrees" and layer.max_relative_error < 1e-8
        assert layer.worst.name.removeprefix("w_").removeprefix("bias_").startswith(layer.letter)
    assert [piece.name for piece in check.pieces] == [
        "activation silu (layers b, c)",
        "activation identity (layer d)",  # the loss is computed from the net
        "loss cross_entropy",
    ]
    header, *lines, empty, verdict = str(check).splitlines()
    assert header.split() == ["layer", "largest", "slope", "relative", "error", "at", "verdict"]
    assert [line.split()[0] for line in lines] == ["b", "c", "d"] and not empty
    assert verdict == check.verdict and verdict.startswith("The gradient agrees with finite differences to ")
    assert verdict.endswith("backpropagation is right here.")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_built_in_pieces_are_never_accused(activation):
    """With biases or none, with a sample of zeros, whose nets are at the kink of relu, and with small and large inputs."""
    for loss, bias, scale in itertools.product(LOSSES, (True, False), (0.01, 3.0)):
        outputs = {"poisson": "softplus", "binary_cross_entropy": "sigmoid", "cross_entropy": "softmax"}
        for seed in (0, 1):
            network = bp.Network([3, 4, 3, 2], activation, outputs.get(loss, activation), bias, backend="numpy", seed=seed)
            generator = np.random.default_rng(seed)
            x = scale * generator.normal(size=(6, 3))
            x[0] = 0.0
            check = bp.check_gradient(network, x, draw_target(loss, generator, 6, 2), loss, seed=seed)
            if activation != "exp" or scale < 1.0:  # whose nested values overflow
                assert check.passed, (loss, bias, scale, seed, str(check))
            assert all(piece.passed for piece in check.pieces), (loss, bias, scale, seed, str(check))


class Wrong:
    """The hyperbolic tangent with a derivative that is scaled by a function of net."""

    def __init__(self, scale):
        self.scale = scale

    def value(self, net):
        return np.tanh(net)

    def delta(self, slope, signal):
        return slope * (1.0 - signal.out**2) * self.scale(signal.net)


def told_numbers(verdict):
    """Return the net or out, the slope, and the two derivatives in a verdict."""
    number = r"(-?[\d.]+(?:e-?\d+)?)"
    found = re.search(rf"at net {number} and slope {number} it gives {number}, and finite differences give {number} ", verdict)
    return [float(each) for each in found.groups()]


@pytest.mark.parametrize(
    "scale",
    [
        lambda net: 1.01,
        lambda net: -1.0,
        lambda net: 1.0 + 1e-4 * net,
        lambda net: np.where(net < 0.0, 0.5, 1.0),
    ],
    ids=["factor", "sign", "term", "negative nets"],
)
@pytest.mark.parametrize("sizes", [[3, 4, 4, 2], [3, 40, 30, 2]], ids=["small", "large"])
def test_a_wrong_delta_is_named_with_its_place(scale, sizes):
    network = bp.Network(sizes, Wrong(scale), backend="numpy", seed=0)
    generator = np.random.default_rng(0)
    check = bp.check_gradient(network, generator.normal(size=(5, 3)), generator.normal(size=(5, 2)))
    wrong, right, loss = check.pieces
    assert not check.passed and not wrong.passed and right.passed and loss.passed
    assert wrong.letters == ("b", "c")
    assert check.verdict.startswith("The delta of activation Wrong (layers b, c) is not the derivative of its value: at net ")
    net, slope, given, expected = told_numbers(check.verdict)
    exact = slope / np.cosh(net) ** 2
    assert expected == pytest.approx(exact, rel=2e-3)
    assert given == pytest.approx(exact * scale(np.asarray(net)), rel=2e-3) and given != expected


def test_a_delta_without_the_slope_is_found():
    network = bp.Network([3, 4, 2], [(np.tanh, lambda slope, signal: 1.0 - signal.out**2), "identity"], backend="numpy", seed=0)
    check = bp.check_gradient(network, np.eye(3), np.ones((3, 2)))
    assert [piece.passed for piece in check.pieces] == [False, True, True]
    assert check.verdict.startswith("The delta of activation custom tanh (layer b) is not the derivative")


def test_the_finite_differences_of_a_wrong_gradient_are_those_of_autograd(torch):
    network = bp.Network([3, 4, 2], [Wrong(lambda net: 0.7), "identity"], backend="numpy", dtype="float64", seed=0)
    generator = np.random.default_rng(0)
    x, target = generator.normal(size=(5, 3)), generator.normal(size=(5, 2))
    check = bp.check_gradient(network, x, target)
    _, gradient, _ = torch_gradient(network.layers, ["tanh", "identity"], "squared_error", x, target)
    worst = check.layers[0].worst
    place = int(re.search(r"\d+", worst.name)[0]) - 1
    exact = gradient[0][worst.name.startswith("bias")].reshape(-1)[place]
    assert worst.finite_difference == pytest.approx(exact, rel=1e-6)
    assert worst.backpropagation == pytest.approx(0.7 * exact, rel=1e-6)
    assert [layer.passed for layer in check.layers] == [False, True]
    assert "differs at" in check.layers[0].verdict and check.layers[1].verdict == "agrees"


class Softmax:
    """Outs that depend on the nets of the whole layer."""

    def __init__(self, has_sum):
        self.has_sum = has_sum

    def value(self, net):
        powers = np.exp(net)
        return powers / powers.sum(-1, keepdims=True)

    def delta(self, slope, signal):
        return signal.out * (slope - self.has_sum * (slope * signal.out).sum(-1, keepdims=True))


class Centered:
    """Outs that depend on the nets of the whole batch."""

    def __init__(self, factor):
        self.factor = factor

    def value(self, net):
        return net - net.mean(-2, keepdims=True)

    def delta(self, slope, signal):
        return slope - self.factor * slope.mean(-2, keepdims=True)


@pytest.mark.parametrize("neurons", [2, 12])
@pytest.mark.parametrize(("piece", "wrong"), [(Softmax(1.0), Softmax(0.0)), (Centered(1.0), Centered(0.5))])
def test_an_activation_that_mixes_neurons_or_samples_is_checked(neurons, piece, wrong):
    generator = np.random.default_rng(0)
    data = generator.normal(size=(5, 3)), generator.normal(size=(5, neurons))
    for activation, passed in ((piece, True), (wrong, False)):
        network = bp.Network([3, 4, neurons], "tanh", activation, backend="numpy", seed=0)
        check = bp.check_gradient(network, *data)
        assert check.passed is passed
        assert (f"delta of activation {type(piece).__name__} (layer c) is not" in check.verdict) is not passed
        assert [each.passed for each in check.pieces] == [True, passed, True]


def test_a_delta_by_autograd_passes(torch):
    """PyTorch differentiates the value; half of what it returns is found to be wrong."""

    def mish(net):
        return net * torch.tanh(torch.nn.functional.softplus(net))

    def delta_times(factor):
        def delta(slope, signal):
            net = signal.net.detach().requires_grad_()
            return factor * torch.autograd.grad(mish(net), net, slope)[0]

        return delta

    generator = np.random.default_rng(0)
    data = generator.normal(size=(5, 3)), generator.normal(size=(5, 2))
    for factor, passed in ((1.0, True), (0.5, False)):
        network = bp.Network([3, 4, 2], [(mish, delta_times(factor)), "identity"], backend="torch", seed=0)
        check = bp.check_gradient(network, *data)
        assert check.passed is passed
        assert ("delta of activation mish (layer b) is not" in check.verdict) is not passed


def test_a_wrong_slope_of_a_loss_is_named(on_target):
    class Fourth:
        def value(self, out, target):
            return on_target.backend().xp.sum((out - target) ** 4, axis=-1)

        def slope(self, out, target):
            return 3.0 * (out - target) ** 3

    network = on_target.network([2, 3, 1], "sigmoid", seed=0)
    check = bp.check_gradient(network, [[1.0, 0.0]], [2.0], loss=Fourth())
    assert [piece.passed for piece in check.pieces] == [True, True, False]
    assert check.verdict.startswith("The slope of loss Fourth is not the derivative of its value: at out ")
    out = float(on_target.values(network.predict([[1.0, 0.0]])).item())
    found = re.search(r"at out (.*?) and target 2 it gives (.*?), and finite differences give (.*?) \(1 of 1", check.verdict)
    assert float(found[1]) == pytest.approx(out, rel=1e-3)
    assert float(found[2]) == pytest.approx(3.0 * (out - 2.0) ** 3, rel=1e-3)
    assert float(found[3]) == pytest.approx(4.0 * (out - 2.0) ** 3, rel=1e-3)


def test_a_wrong_slope_of_a_loss_of_classes_is_named():
    class Wrong(bp.losses.CrossEntropy):
        def slope(self, out, target):
            return 1.5 * super().slope(out, target)

    network = bp.Network([2, 3, 4], backend="numpy", seed=0)
    check = bp.check_gradient(network, np.eye(2), [3, 0], loss=Wrong())
    assert "The slope of loss Wrong is not the derivative of its value" in check.verdict
    assert re.search(r"and target [03] \(output [1-4] of sample [12]\) it gives", check.verdict)


def test_a_large_batch_is_checked_at_evenly_spaced_samples():
    """Of 10,000 samples with 4 outputs, every second is taken."""

    def slope(out, target):
        return (out - target) * np.where(target == 7.0, 2.0, 1.0)

    network = bp.Network([1, 4], backend="numpy", seed=0)
    target = np.zeros((10_000, 4))
    target[4_444, 2] = 7.0
    check = bp.check_gradient(network, np.zeros((10_000, 1)), target, (bp.losses.SquaredError().value, slope))
    assert check.verdict.endswith(
        "at out 0 and target 7 (output 3 of sample 4445) it gives -14, and finite differences give -7 "
        "(1 of 20000 places differ)."
    )


def test_a_loss_with_a_number_for_each_sample_is_checked():
    share = np.arange(70.0)
    loss = (
        lambda out, target: share * ((out - target) ** 2).sum(-1),
        lambda out, target: 2.0 * share[:, None] * (out - target),
    )
    check = bp.check_gradient(bp.Network([2, 1], backend="numpy", seed=0), np.ones((70, 2)), np.zeros(70), loss)
    assert check.passed


def test_a_wrong_piece_is_found_where_the_gradient_does_not_show_it():
    def value(net):
        return np.maximum(net, 0.0)

    def delta(slope, signal):
        return slope * np.where(signal.net > 0.0, 1.0, 0.3)

    network = bp.Network.from_weights([[[1.0], [-1.0]], [[1.0, 0.0]]], None, [(value, delta), "identity"], backend="numpy")
    check = bp.check_gradient(network, [[1.0], [2.0]], [0.0, 1.0])
    assert all(layer.passed for layer in check.layers) and not check.passed
    assert check.verdict.endswith("The gradient of these samples does not show it.")


def test_a_piece_that_counts_axes_from_the_front_is_explained():
    class Front(Softmax):
        def value(self, net):
            return np.exp(net) / np.exp(net).sum(1, keepdims=True)

    network = bp.Network([3, 4, 3], ["tanh", Front(1.0)], backend="numpy", seed=0)
    generator = np.random.default_rng(0)
    check = bp.check_gradient(network, generator.normal(size=(5, 3)), generator.normal(size=(5, 3)))
    assert not check.passed and all(piece.passed for piece in check.pieces)
    assert check.verdict.startswith("The gradient is wrong at ") and "use axis=-1 for neurons" in check.verdict


def test_a_kink_is_not_an_error():
    """At x = 0, relu(x) - relu(-x) has the derivative 1, and the chain rule gives 0, as it does in PyTorch."""
    network = bp.Network.from_weights(
        [[[1.0], [-1.0]], [[1.0, -1.0]]], [[0.0, 0.0], [0.0]], ["relu", "identity"], backend="numpy"
    )
    check = bp.check_gradient(network, [[0.0]], [1.0])
    assert check.passed
    assert check.layers[0].verdict == "agrees, 2 of 4 at a kink"
    assert "2 of 7 slopes are at a kink of the error" in check.verdict
    assert check.max_relative_error < 1e-8

    network = bp.Network.from_weights([[[1.0]]], None, "identity", backend="numpy")
    check = bp.check_gradient(network, [[1.0], [2.0]], [1.0, 0.0], bp.losses.Quantile(0.9))  # the first out is the target
    assert check.passed and check.layers[0].verdict == "agrees, 1 of 1 at a kink"


def test_slopes_that_rounding_hides_are_not_judged():
    network = bp.Network.from_weights([[[30.0]], [[1.0]]], None, ["sigmoid", "identity"], backend="numpy")
    check = bp.check_gradient(network, [[1.0]], [3.0])
    assert check.passed
    assert check.layers[0].verdict == "cannot be checked" and check.layers[0].largest_slope < 1e-9
    assert "1 of 2 slopes could not be checked" in check.verdict


def test_an_error_that_is_not_finite_is_said():
    network = bp.Network(
        [1, 2, 1], ["exp", "exp"], bias=False, backend="numpy", initializer=lambda g, shape: np.full(shape, 9.0)
    )
    check = bp.check_gradient(network, [[1.0]], [1.0])
    assert not check.passed and check.layers[0].verdict == "not finite"
    assert "check smaller inputs or weights" in check.verdict


# Finite differences by themselves.


@pytest.mark.parametrize(
    ("function", "at", "derivative", "outcome"),
    [
        (np.sin, 0.5, np.cos(0.5), AGREES),
        (np.sin, 0.5, np.cos(0.5) * (1.0 + 1e-5), DIFFERS),
        (np.sin, 0.5, np.nan, DIFFERS),
        (np.sin, 0.5, np.inf, DIFFERS),
        (lambda x: np.exp(100.0 * x), 1.0, 100.0 * np.exp(100.0), AGREES),
        (lambda x: 1.0 / x, 1e-4, -1e8, AGREES),
        (lambda x: 1.0 / x, 1e-4, -1.001e8, DIFFERS),
        (np.abs, 0.0, 0.3, KINK),
        (np.abs, 0.0, 1.3, DIFFERS),
        (np.abs, 3e-7, 1.0, AGREES),
        (np.abs, 1e-13, 1.0, KINK),
        (lambda x: 1e6 + 1e-9 * x, 1.0, 2e-9, UNDECIDED),
        (lambda x: np.sqrt(x - 1.0), 1.0, 5.0, UNDECIDED),
    ],
)
def test_a_derivative_is_compared(function, at, derivative, outcome):
    found = compare(lambda steps: function(at + steps), np.array([derivative]), np.ones(1), 0.0)
    assert found.outcome.tolist() == [outcome]


def test_a_gradient_of_zeros_proves_little():
    network = bp.Network.from_weights([[[-1.0]], [[1.0]]], [[-1.0], [0.0]], ["relu", "relu"], backend="numpy", dtype="float64")
    network.layers = (network.layers[0], network.layers[1]._replace(bias=np.array([-1.0])))
    check = bp.check_gradient(network, [[1.0], [2.0]], [[0.0], [0.0]])
    assert check.passed and "proves little" in check.verdict and "right here" not in check.verdict
