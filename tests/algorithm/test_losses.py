"""Losses and their slopes agree with PyTorch and scikit-learn, and stay finite for extreme nets."""

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.metrics

import portable_bp as bp
from portable_bp.algorithm.losses import LOSSES as BY_NAME
from portable_bp.algorithm.losses import mean_error
from tests.support.oracles import LOSSES, draw_target, torch_loss


def test_every_loss_is_tested():
    assert set(LOSSES) == set(BY_NAME)


@pytest.mark.parametrize("loss", LOSSES)
def test_value_agrees_with_pytorch(torch, loss):
    generator = np.random.default_rng(0)
    out, target = generator.uniform(0.1, 3.0, size=(20, 4)), draw_target(loss, generator, 20, 4)
    expected = torch_loss(loss, torch.tensor(out), torch.tensor(target)).numpy()
    np.testing.assert_allclose(BY_NAME[loss]().value(out, target), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("threshold", [0.3, 1.7])
def test_the_threshold_of_huber_agrees_with_pytorch(torch, threshold):
    generator, loss = np.random.default_rng(0), bp.losses.Huber(threshold)
    out, target = generator.normal(scale=2.0, size=(20, 1)), generator.normal(size=(20, 1))
    leaf = torch.tensor(out, requires_grad=True)
    value = torch.nn.functional.huber_loss(leaf, torch.tensor(target), delta=threshold, reduction="none")
    value.sum().backward()
    np.testing.assert_allclose(loss.value(out, target), value.detach().numpy()[:, 0], rtol=1e-13)
    np.testing.assert_allclose(loss.slope(out, target), leaf.grad.numpy(), rtol=1e-13)


def test_confident_right_predictions_keep_their_small_errors():
    value = bp.losses.BinaryCrossEntropy().value(np.array([[40.0], [-40.0]]), np.array([[1.0], [0.0]]))
    np.testing.assert_allclose(value, np.exp(-40.0), rtol=1e-12)


def test_value_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    out, target = generator.uniform(0.1, 3.0, size=(20, 1)), generator.poisson(2.0, size=(20, 1)).astype(float)
    weight = generator.uniform(size=20)
    weight /= weight.mean()
    pairs = {
        bp.losses.SquaredError(): 0.5 * sklearn.metrics.mean_squared_error(target, out, sample_weight=weight),
        bp.losses.AbsoluteError(): sklearn.metrics.mean_absolute_error(target, out, sample_weight=weight),
        bp.losses.Quantile(0.3): sklearn.metrics.mean_pinball_loss(target, out, alpha=0.3, sample_weight=weight),
        bp.losses.Poisson(): 0.5 * sklearn.metrics.mean_poisson_deviance(target, out, sample_weight=weight),
    }
    for loss, expected in pairs.items():
        np.testing.assert_allclose(mean_error(loss, out, target, weight), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropies_at_ten_thousand(on_target, dtype):
    """For large nets, the error of a wrong prediction is the net itself, and that of a right one is zero."""
    backend = on_target.backend(dtype)
    out = backend.asarray([[1e4, -1e4], [-1e4, 1e4], [0.0, 0.0]])
    classes, one_hot = backend.asarray([1, 1, 1], "int32"), backend.asarray([[0.0, 1.0]] * 3)
    loss = bp.losses.CrossEntropy()
    for target in (classes, one_hot):
        run = backend.compile(lambda out, target: (loss.value(out, target), loss.slope(out, target)))
        value, slope = run(out, target)
        on_target.assert_close(value, [2e4, 0.0, np.log(2.0)], rtol=1e-6, dtype=dtype)
        on_target.assert_close(slope, [[1.0, -1.0], [0.0, 0.0], [0.5, -0.5]], rtol=1e-6, atol=2e-38, dtype=dtype)
    binary = bp.losses.BinaryCrossEntropy()
    value, slope = backend.compile(lambda out, target: (binary.value(out, target), binary.slope(out, target)))(out, one_hot)
    on_target.assert_close(value, [2e4, 0.0, 2.0 * np.log(2.0)], rtol=1e-6, dtype=dtype)
    on_target.assert_close(slope, [[1.0, -1.0], [0.0, 0.0], [0.5, -0.5]], rtol=1e-6, atol=2e-38, dtype=dtype)


def test_a_loss_without_sums_over_outputs_is_refused(on_target):
    own = (lambda out, target: (out - target) ** 2, lambda out, target: 2.0 * (out - target))
    network = on_target.network([2, 3, 2], seed=0)
    with pytest.raises(
        ValueError, match=r"values of shape \(5, 2\) for outputs of shape \(5, 2\): .* one number for each sample"
    ):
        network.fit(np.ones((5, 2)), np.ones((5, 2)), loss=own)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("net", [-50.0, -95.0, -104.0, -800.0])
@pytest.mark.parametrize("target", [0.0, 1.0, 5.0, 1e6])
def test_poisson_over_exp_at_rates_that_underflow(on_target, net, target, dtype):
    """dE/dnet of exp is out - target, however small the rate."""
    network = bp.Network.from_weights([[[1.0]]], [[0.0]], "exp", backend=on_target.flag, dtype=dtype)
    slope = on_target.values(network.gradient([net], [target], "poisson")[0].bias, dtype)
    np.testing.assert_allclose(slope, -target, rtol=1e-5, atol=1e-20)


def test_quantile_fits_the_quantile():
    generator = np.random.default_rng(0)
    target = generator.exponential(size=(501, 1))
    network = bp.Network([1, 1], "identity", backend="numpy", dtype="float64", initializer="zeros")
    ones = np.ones((501, 1))
    rate = bp.schedules.Exponential(0.1, factor=0.01, over=4000)
    network.fit(ones, target, loss=bp.losses.Quantile(0.8), optimizer="sgd", learning_rate=rate, epochs=4000)
    np.testing.assert_allclose(network.predict([1.0]), np.quantile(target, 0.8), rtol=0.01)
