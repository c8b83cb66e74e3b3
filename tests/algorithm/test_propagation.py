"""Gradients agree with PyTorch autograd, with finite differences and with the recursion of the article."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS as BY_NAME
from portable_bp.algorithm.arrays import Layer
from portable_bp.algorithm.losses import LOSSES as LOSS_BY_NAME
from portable_bp.algorithm.propagation import backward, forward, input_gradient, measure_error, parameter_gradient, propagate
from tests.support.networks import flatten
from tests.support.oracles import ACTIVATIONS, LOSSES, draw_target, relative_distance, torch_gradient


@st.composite
def problems(draw, layers, batch=64, width=9):
    """Draw a network's sizes, whether it has biases, a batch size and a seed."""
    depth = draw(st.integers(1, layers))
    sizes = draw(st.lists(st.integers(1, width), min_size=depth + 1, max_size=depth + 1))
    return sizes, draw(st.booleans()), draw(st.integers(1, batch)), draw(st.integers(0, 2**32 - 1))


def drawn(problem, activation, loss, output_activation=None):
    """Return layers, the activations' names, inputs, target and sample weight of a random problem."""
    sizes, bias, samples, seed = problem
    generator = np.random.default_rng(seed)
    layers = [
        Layer(
            generator.normal(size=(fan_out, fan_in)) / np.sqrt(fan_in),
            generator.normal(scale=0.5, size=fan_out) if bias else None,
        )
        for fan_in, fan_out in zip(sizes, sizes[1:], strict=False)
    ]
    names = [activation] * (len(layers) - 1) + [output_activation or activation]
    inputs = generator.normal(size=(samples, sizes[0]))
    target = draw_target(loss, generator, samples, sizes[-1], classes=seed % 2 == 0)
    sample_weight = generator.uniform(0.1, 2.0, size=samples)
    return layers, names, inputs, target, sample_weight / sample_weight.mean()


def suits(loss, activation):
    """Poisson needs a positive output, and exp of exp overflows float64."""
    return loss != "poisson" or activation in ("sigmoid", "softplus", "softmax", "exp")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@hypothesis.settings(max_examples=6)
@hypothesis.given(problem=problems(layers=8), weighted=st.booleans())
def test_gradient_agrees_with_pytorch_autograd(torch, activation, loss, problem, weighted):
    output = activation if suits(loss, activation) else "exp"
    if activation == "exp":
        # Nested exponentials overflow in any library; single ones do not.
        activation = "tanh"
    layers, names, inputs, target, sample_weight = drawn(problem, activation, loss, output)
    weight = sample_weight if weighted else None
    chosen = [BY_NAME[name]() for name in names]
    error, gradient, slope = torch_gradient(layers, names, loss, inputs, target, weight)
    hypothesis.assume(np.isfinite(error))
    passed = propagate(chosen, LOSS_BY_NAME[loss](), layers, inputs, target, weight)
    np.testing.assert_allclose(passed.error, error, rtol=1e-12, atol=1e-14)
    smallest_scale = 1e-4 if "softmax" in names else 0.0
    assert relative_distance(passed.gradient, gradient, smallest_scale) <= 1e-12
    found = input_gradient(chosen, LOSS_BY_NAME[loss](), layers, inputs, target, weight)
    assert relative_distance([[found]], [[slope]], smallest_scale) <= 1e-12


KINKED = {"relu", "leaky_relu", "elu", "absolute_error", "huber", "quantile"}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@hypothesis.settings(max_examples=3)
@hypothesis.given(problem=problems(layers=4, batch=5, width=4))
def test_gradient_agrees_with_finite_differences(activation, loss, problem):
    output = activation if suits(loss, activation) else "exp"
    activation = "tanh" if activation == "exp" else activation
    layers, names, inputs, target, weight = drawn(problem, activation, loss, output)
    chosen, measure = [BY_NAME[name]() for name in names], LOSS_BY_NAME[loss]()
    passed = propagate(chosen, measure, layers, inputs, target, weight)
    hypothesis.assume(np.isfinite(passed.error) and passed.error < 1e6)
    if KINKED & {loss, *names}:
        # A finite difference across a kink equals the slope on neither side.
        near = [np.abs(signal.net) for signal in passed.signals]
        if loss in KINKED:
            miss = np.abs(passed.signals[-1].out - target)
            near += [miss, np.abs(miss - 1.0)]
        hypothesis.assume(min(distance.min() for distance in near) > 1e-3)
    numeric = []
    for number, layer in enumerate(layers):
        slopes = []
        for field, parameter in zip(Layer._fields, layer, strict=True):
            if parameter is None:
                slopes.append(None)
                continue
            slope = np.empty_like(parameter)
            for place in np.ndindex(parameter.shape):
                errors = []
                for move in (-2e-4, -1e-4, 1e-4, 2e-4):
                    moved = parameter.copy()
                    moved[place] += move
                    changed = [*layers[:number], layer._replace(**{field: moved}), *layers[number + 1 :]]
                    errors.append(measure_error(chosen, measure, changed, inputs, target, weight))
                slope[place] = np.dot(errors, [1.0, -8.0, 8.0, -1.0]) / 1.2e-3
            slopes.append(slope)
        numeric.append(slopes)
    hypothesis.assume(max(np.abs(part).max() for part in flatten(passed.gradient)) > 1e-4)
    assert relative_distance(passed.gradient, numeric) <= 1e-6


def test_the_article_s_recursion_by_hand():
    """delta_l = (W_{l+1}^T delta_{l+1}) f'(net_l), written out for column vectors as in the article."""
    generator = np.random.default_rng(0)
    weights = [generator.normal(size=shape) for shape in ((4, 2), (3, 4), (2, 3))]
    layers = [Layer(weight, None) for weight in weights]
    inputs, target = generator.normal(size=2), generator.normal(size=2)
    outs = [inputs]
    for weight in weights:
        outs.append(1 / (1 + np.exp(-weight @ outs[-1])))
    deltas = [(outs[3] - target) * outs[3] * (1 - outs[3])]
    for level in (2, 1):
        deltas.insert(0, weights[level].T @ deltas[0] * outs[level] * (1 - outs[level]))
    sigmoids = [bp.activations.Sigmoid()] * 3
    signals = forward(sigmoids, layers, inputs[None])
    found = backward(sigmoids, layers, signals, signals[-1].out - target)
    gradient = parameter_gradient(layers, inputs[None], signals, found)
    for level in range(3):
        np.testing.assert_allclose(found[level][0], deltas[level], rtol=1e-14)
        np.testing.assert_allclose(gradient[level].weight, np.outer(deltas[level], outs[level]), rtol=1e-14)


def test_the_same_layer_can_be_used_twice():
    layer = Layer(np.array([[0.3, -0.2], [0.5, 0.7]]), np.array([0.1, -0.4]))
    activations = [bp.activations.Tanh()] * 2
    inputs, target = np.array([[1.0, 2.0]]), np.array([[0.0, 1.0]])
    twice = propagate(activations, bp.losses.SquaredError(), [layer, layer], inputs, target)
    apart = propagate(activations, bp.losses.SquaredError(), [layer, Layer(*layer)], inputs, target)
    np.testing.assert_array_equal(twice.gradient[0].weight, apart.gradient[0].weight)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_leading_axes_are_separate_networks(on_target, activation, loss):
    generator = np.random.default_rng(1)
    backend = on_target.backend()
    samples, outputs = 3, 2
    weights = [generator.normal(size=(4, 3, 5)), generator.normal(size=(4, outputs, 3))]
    biases = [generator.normal(size=(4, 3)), generator.normal(size=(4, outputs))]
    inputs, target = generator.normal(size=(samples, 5)), draw_target(loss, generator, samples, outputs)
    names = [activation if activation != "exp" else "tanh", activation if suits(loss, activation) else "exp"]
    chosen, measure = [BY_NAME[name]() for name in names], LOSS_BY_NAME[loss]()
    on_device = [Layer(backend.asarray(w), backend.asarray(b)) for w, b in zip(weights, biases, strict=True)]
    target_there = backend.asarray(target, "int32" if target.ndim == 1 else None)

    run = backend.compile(lambda layers, x, t: propagate(chosen, measure, layers, x, t))
    passed = run(on_device, backend.asarray(inputs), target_there)
    for member in range(4):
        layers = [Layer(w[member], b[member]) for w, b in zip(weights, biases, strict=True)]
        alone = propagate(chosen, measure, layers, inputs, target)
        np.testing.assert_allclose(on_target.values(passed.error)[member], alone.error, rtol=1e-12)
        for found, expected in zip(passed.gradient, alone.gradient, strict=True):
            np.testing.assert_allclose(on_target.values(found.weight)[member], expected.weight, rtol=1e-10, atol=1e-13)
            np.testing.assert_allclose(on_target.values(found.bias)[member], expected.bias, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_stays_float32(on_target, activation, loss):
    names = [activation, "exp" if loss == "poisson" else activation]
    backend = on_target.backend("float32")
    generator = np.random.default_rng(2)
    layers = [
        Layer(backend.asarray(generator.normal(size=shape) / 4), backend.asarray(np.zeros(shape[0])))
        for shape in ((3, 4), (2, 3))
    ]
    target = draw_target(loss, generator, 5, 2)
    given = (
        backend.asarray(generator.normal(size=(5, 4))),
        backend.asarray(target, "int32" if target.ndim == 1 else None),
        backend.asarray(np.ones(5)),
    )
    chosen, measure = [BY_NAME[name]() for name in names], LOSS_BY_NAME[loss]()
    passed = backend.compile(lambda *arguments: propagate(chosen, measure, *arguments))(layers, *given)
    arrays = [passed.error, *passed.deltas]
    arrays += [part for signal in passed.signals for part in signal] + flatten(passed.gradient)
    for array in arrays:
        assert np.isfinite(on_target.values(array, "float32")).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("depth", [2, 4, 8])
def test_hidden_exponentials_agree_with_pytorch_autograd(torch, depth, loss):
    """Weights are small, so that exponentials of exponentials do not overflow float64."""
    generator = np.random.default_rng(depth)
    layers = [Layer(generator.normal(size=(3, 3)) / 10, generator.normal(size=3) / 10) for _ in range(depth)]
    inputs, target = generator.normal(size=(6, 3)), draw_target(loss, generator, 6, 3)
    error, gradient, _ = torch_gradient(layers, ["exp"] * depth, loss, inputs, target)
    passed = propagate([bp.activations.Exp()] * depth, LOSS_BY_NAME[loss](), layers, inputs, target)
    np.testing.assert_allclose(passed.error, error, rtol=1e-12)
    assert relative_distance(passed.gradient, gradient) <= 1e-12
