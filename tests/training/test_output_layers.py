"""Output layers and losses: the defaults, cross-entropies over probabilities, and combinations that are refused."""

import numpy as np
import pytest
import sklearn.linear_model

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS, bounds_of
from tests.support.oracles import torch_gradient

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(40, 3))
CLASSES = GENERATOR.integers(4, size=40)
PAIRS = {"cross_entropy": ("softmax", CLASSES), "binary_cross_entropy": ("sigmoid", np.eye(4)[CLASSES])}


def test_defaults_fit_a_line():
    """A linear network with all defaults is least squares."""
    target = X @ [[20.0], [-30.0], [5.0]] + 100.0
    network = bp.Network([3, 1], backend="numpy", dtype="float64", seed=0)
    network.fit(X, target, epochs=500)
    np.testing.assert_allclose(network.predict(X), target, atol=1e-6)
    network = bp.Network([3, 16, 1], backend="numpy", seed=0)
    network.fit(X, target[:, 0], learning_rate=0.01, epochs=500)
    assert network.predict(X).max() > 100.0


@pytest.mark.parametrize("output", [None, "softmax"])
def test_cross_entropy_without_hidden_layers_agrees_with_scikit_learn(output):
    """Without hidden layers, cross-entropy is the logistic regression without a penalty."""
    network = bp.Network([3, 4], output_activation=output, backend="numpy", dtype="float64", seed=0)
    network.fit(X, CLASSES, "cross_entropy", learning_rate=1.0, epochs=3000)
    logistic = sklearn.linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, CLASSES)
    out = network.predict(X)
    probability = out if output else np.exp(out) / np.exp(out).sum(-1, keepdims=True)
    np.testing.assert_allclose(probability, logistic.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("loss", PAIRS)
def test_cross_entropy_over_probabilities_is_computed_from_the_net(on_target, torch, loss):
    """Loss and gradient agree with PyTorch's loss of logits; predictions are probabilities."""
    output, target = PAIRS[loss]
    network = on_target.network([3, 5, 4], "tanh", output, seed=0)
    layers = [bp.Layer(*(on_target.values(part) for part in layer)) for layer in network.layers]
    names = ["tanh", "identity"]
    error, gradient, slope = torch_gradient(layers, names, loss, X, target)
    on_target.assert_close(network.loss(X, target, loss), error)
    for mine, theirs in zip(network.gradient(X, target, loss), gradient, strict=True):
        on_target.assert_close(mine.weight, theirs[0], rtol=1e-9, atol=1e-14)
        on_target.assert_close(mine.bias, theirs[1], rtol=1e-9, atol=1e-14)
    on_target.assert_close(network.input_gradient(X, target, loss), slope, rtol=1e-9, atol=1e-14)
    trace, out = network.trace(X, target, loss), on_target.values(network.predict(X))
    on_target.assert_close(trace["c"].out, out)
    on_target.assert_close(trace["c"].delta, (out - np.eye(4)[CLASSES]) / 40, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("loss", PAIRS)
def test_the_gradient_over_probabilities_agrees_with_finite_differences(loss):
    output, target = PAIRS[loss]
    network = bp.Network([3, 5, 4], "tanh", output, backend="numpy", seed=0)
    assert bp.check_gradient(network, X, target, loss).max_relative_error < 1e-6


@pytest.mark.parametrize("loss", PAIRS)
def test_training_over_probabilities_equals_training_over_the_net(on_target, loss):
    output, target = PAIRS[loss]
    options = {"optimizer": "adam", "epochs": 2, "batch_size": 20, "validation_data": (X[:9], target[:9])}
    over_net = on_target.network([3, 5, 4], seed=0)
    over_probabilities = on_target.network([3, 5, 4], output_activation=output, seed=0)
    history = over_net.fit(X, target, loss, **options)
    assert over_probabilities.fit(X, target, loss, **options) == history
    for mine, theirs in zip(over_probabilities.layers, over_net.layers, strict=True):
        on_target.assert_close(mine.weight, on_target.values(theirs.weight), rtol=0.0)


@pytest.mark.parametrize("net", [-800.0, 800.0])
def test_probability_of_zero_keeps_its_slope(net):
    """Where softmax rounds to 0 and 1, the error is the difference of the nets, and the delta is 1."""
    network = bp.Network.from_weights([[[1.0], [0.0]]], activation="softmax", backend="numpy", dtype="float64")
    wrong = int(net > 0.0)
    assert network.loss([net], wrong, "cross_entropy") == 800.0
    np.testing.assert_allclose(np.abs(network.gradient([net], wrong, "cross_entropy")[0].weight), 800.0)


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS.values()), key=str))
def test_cross_entropy_over_another_activation_is_refused(activation, loss):
    output, target = PAIRS[loss]
    network = bp.Network([3, 5, 4], [activation, activation], backend="numpy", seed=0)
    if activation in (ACTIVATIONS["identity"], ACTIVATIONS[output]):
        network.fit(X, target, loss)
        return
    layers = network.layers
    message = f"activation is {activation.__name__}, and .* takes the raw net: .*'identity', .* or '{output}'"
    for refused in (network.fit, network.loss, network.gradient, network.input_gradient, network.trace):
        with pytest.raises(ValueError, match=message):
            refused(X, target, loss)
    with pytest.raises(ValueError, match=message):
        bp.check_gradient(network, X, target, loss)
    assert network.layers is layers


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS.values()), key=str))
def test_poisson_over_outputs_that_may_be_negative_is_refused(activation):
    network = bp.Network([3, 4], [activation], backend="numpy", seed=0)
    if network.predict(GENERATOR.normal(scale=9.0, size=(1000, 3))).min() >= 0.0:
        network.fit(X, np.zeros((40, 4)), "poisson", learning_rate=1e-6)
    else:
        with pytest.raises(ValueError, match="values may be negative, and Poisson takes positive ones: .*'exp'"):
            network.fit(X, np.zeros((40, 4)), "poisson")


def test_user_activation_is_accepted_under_any_loss():
    scaled = (lambda net: 3.0 * net, lambda slope, signal: 3.0 * slope)
    network = bp.Network([3, 4], [scaled], backend="numpy", dtype="float64", seed=0)
    plain = bp.Network.from_weights([3.0 * network.layers[0].weight], activation="identity", backend="numpy", dtype="float64")
    np.testing.assert_allclose(network.loss(X, CLASSES, "cross_entropy"), plain.loss(X, CLASSES, "cross_entropy"))


@pytest.mark.parametrize("target", [CLASSES % 2, np.ones((40, 1))])
@pytest.mark.parametrize("output", ["identity", "softmax"])
def test_cross_entropy_of_one_output_is_refused(output, target):
    network = bp.Network([3, 1], output_activation=output, backend="numpy", seed=0)
    with pytest.raises(ValueError, match="1 output, and CrossEntropy needs an output for each class: .*binary_cross_entropy"):
        network.fit(X, target, "cross_entropy")


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_bounds_are_the_smallest_and_largest_out(name):
    activation = ACTIVATIONS[name]()
    net = np.concatenate([np.linspace(-30.0, 30.0, 60_001), [-1e4, 1e4]])
    net = np.stack([net, -net], axis=-1) if name == "softmax" else net[:, None]
    with np.errstate(over="ignore"):
        out = activation.value(net)
    lowest, highest = bounds_of(activation)
    assert lowest == (-np.inf if out.min() < -50.0 else pytest.approx(out.min(), abs=1e-7))
    assert highest == (np.inf if out.max() > 50.0 else pytest.approx(out.max(), abs=1e-7))


@pytest.mark.parametrize(
    ("activation", "target", "message"),
    [
        ("sigmoid", [0.0, 2.5], "numbers from 0 to 2.5, and the output layer's Sigmoid gives only numbers from 0 to 1"),
        ("tanh", [-3.0, 0.5], "from -3 to 0.5, and the output layer's Tanh gives only numbers from -1 to 1"),
        ("relu", [-1.0, 1.0], "ReLU gives only numbers from 0 to inf"),
        (bp.activations.ELU(0.5), [-1.0, 1.0], "ELU gives only numbers from -0.5 to inf"),
    ],
)
def test_targets_out_of_reach_are_warned_about(on_target, activation, target, message):
    network = on_target.network([1, 1], output_activation=activation, seed=0)
    with pytest.warns(UserWarning, match=message) as warned:
        network.fit([[0.0], [1.0]], target)
    assert warned[0].filename == __file__
    reached = np.clip(target, *bounds_of(network.activations[-1]))
    network.fit([[0.0], [1.0]], reached)  # a warning would be an error


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_advice_on_targets_out_of_reach_suits_the_loss(activation):
    options = {"loss": "poisson", "epochs": 1}
    with pytest.warns(UserWarning, match="with output_activation='(exp)' or '(softplus)', or scale"):
        bp.Network([1, 2], output_activation=activation, backend="numpy").fit([[0.0]], [[3.0, 4.0]], **options)
    for advised in ("exp", "softplus"):
        bp.Network([1, 2], output_activation=advised, backend="numpy").fit([[0.0]], [[3.0, 4.0]], **options)
