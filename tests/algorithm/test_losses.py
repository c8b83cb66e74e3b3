import numpy as np
import pytest
import sklearn.linear_model
import sklearn.metrics

import portable_bp as bp
from portable_bp.algorithm.losses import LOSSES as BY_NAME
from portable_bp.algorithm.losses import mean_error, mean_slope
from tests.oracles import LOSSES, draw_target, torch_loss


def test_every_loss_is_tested():
    assert set(LOSSES) == set(BY_NAME)


@pytest.mark.parametrize("loss", LOSSES)
def test_value_agrees_with_pytorch(torch, loss):
    generator = np.random.default_rng(0)
    out, target = generator.uniform(0.1, 3.0, size=(20, 4)), draw_target(loss, generator, 20, 4)
    expected = torch_loss(loss, torch.tensor(out), torch.tensor(target)).numpy()
    np.testing.assert_allclose(BY_NAME[loss]().value(out, target), expected, rtol=1e-12, atol=1e-14)


def test_value_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    out, target = generator.uniform(0.1, 3.0, size=(20, 1)), generator.poisson(2.0, size=(20, 1)).astype(float)
    weight = generator.uniform(size=20)
    pairs = {
        bp.losses.SquaredError(): 0.5 * sklearn.metrics.mean_squared_error(target, out, sample_weight=weight),
        bp.losses.AbsoluteError(): sklearn.metrics.mean_absolute_error(target, out, sample_weight=weight),
        bp.losses.Quantile(0.3): sklearn.metrics.mean_pinball_loss(target, out, alpha=0.3, sample_weight=weight),
        bp.losses.Poisson(): 0.5 * sklearn.metrics.mean_poisson_deviance(target, out, sample_weight=weight),
    }
    for loss, expected in pairs.items():
        np.testing.assert_allclose(mean_error(loss, out, target, weight), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropies_at_ten_thousand(way, dtype):
    """The error of a certain and wrong net is the net itself, that of a certain and right one is zero."""
    backend = way.backend(dtype)
    out = backend.asarray([[1e4, -1e4], [-1e4, 1e4], [0.0, 0.0]])
    classes, one_hot = backend.asarray([1, 1, 1], "int32"), backend.asarray([[0.0, 1.0]] * 3)
    loss = bp.losses.CrossEntropy()
    for target in (classes, one_hot):
        run = backend.compile(lambda out, target: (loss.value(out, target), loss.slope(out, target)))
        value, slope = run(out, target)
        way.assert_close(value, [2e4, 0.0, np.log(2.0)], rtol=1e-6, dtype=dtype)
        way.assert_close(slope, [[1.0, -1.0], [0.0, 0.0], [0.5, -0.5]], rtol=1e-6, atol=2e-38, dtype=dtype)
    binary = bp.losses.BinaryCrossEntropy()
    value, slope = backend.compile(lambda out, target: (binary.value(out, target), binary.slope(out, target)))(out, one_hot)
    way.assert_close(value, [2e4, 0.0, 2.0 * np.log(2.0)], rtol=1e-6, dtype=dtype)
    way.assert_close(slope, [[1.0, -1.0], [0.0, 0.0], [0.5, -0.5]], rtol=1e-6, atol=2e-38, dtype=dtype)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_of_two_is_a_sample_given_twice(way, loss):
    generator = np.random.default_rng(0)
    backend, measure = way.backend(), BY_NAME[loss]()
    out, target = generator.uniform(0.1, 3.0, size=(3, 2)), draw_target(loss, generator, 3, 2)
    kind = "int32" if target.ndim == 1 else None
    run = backend.compile(lambda *given: (mean_error(measure, *given), mean_slope(measure, *given)))
    error, slope = run(backend.asarray(out), backend.asarray(target, kind), backend.asarray([1.0, 2.0, 0.0]))
    twice = [0, 1, 1]
    error_twice, slope_twice = run(backend.asarray(out[twice]), backend.asarray(target[twice], kind), None)
    way.assert_close(error, way.values(error_twice))
    expected = way.values(slope_twice)
    way.assert_close(slope, [expected[0], expected[1] + expected[2], [0.0, 0.0]])


def test_a_batch_of_weightless_samples_teaches_nothing(way):
    backend, loss = way.backend(), bp.losses.SquaredError()
    out, nothing = backend.asarray([[1.0], [2.0]]), backend.asarray([0.0, 0.0])
    way.assert_close(mean_error(loss, out, out + 1.0, nothing), 0.0)
    way.assert_close(mean_slope(loss, out, out + 1.0, nothing), [[0.0], [0.0]])


def test_poisson_at_a_rate_that_underflowed():
    loss, out = bp.losses.Poisson(), np.array([[0.0]])
    assert loss.value(out, np.array([[0.0]])) == 0.0
    assert loss.slope(out, np.array([[0.0]])) == 1.0


def test_quantile_fits_the_quantile():
    generator = np.random.default_rng(0)
    target = generator.exponential(size=(501, 1))
    network = bp.Network([1, 1], "identity", backend="numpy", dtype="float64", initializer="zeros")
    ones = np.ones((501, 1))
    rate = bp.schedules.Exponential(0.1, factor=0.01, over=4000)
    network.fit(ones, target, loss=bp.losses.Quantile(0.8), optimizer="sgd", learning_rate=rate, epochs=4000)
    np.testing.assert_allclose(network.predict([1.0]), np.quantile(target, 0.8), rtol=0.01)
