"""Training with `Network.fit`: batches, optimizers, sample weights, dropout, callbacks and divergence."""

import numpy as np
import pytest
import sklearn.neural_network

import portable_bp as bp
from tests.support.networks import parameters

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(50, 4))
TARGET = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
CLASSES = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)


def test_weights_after_100_adam_steps_agree_across_backends(on_target):
    def trained(make):
        network = make([4, 8, 3], "tanh", "identity", seed=5)
        network.fit(X, CLASSES, loss="cross_entropy", optimizer="adam", learning_rate=0.01, epochs=25, batch_size=13)
        return parameters(network)

    expected = trained(lambda *given, **options: bp.Network(*given, backend="numpy", dtype="float64", **options))
    for mine, theirs in zip(trained(on_target.network), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


def test_batches_are_every_sample_once_in_an_order_of_the_seed(on_target):
    """The batches do not depend on how many are drawn together."""
    from portable_bp.training.batches import Batches
    from portable_bp.training.settings import Settings

    def rows(backend, chunk):
        settings = Settings(backend, (), None, None, epochs=1, batch_size=4, rates=(0.5, 0.0, 0.2), callbacks=())
        for drawn in Batches(settings, 10, (2, 3, 2), chunk).draw(np.random.default_rng(3)):
            indices, masks = backend.to_numpy(drawn.batches.indices), backend.to_numpy(drawn.batches.masks[2])
            assert drawn.batches.masks[1] is None and len(indices) == len(masks) == drawn.steps <= chunk
            assert drawn.same_size == (2 if indices.shape[-1] == 4 else 1)
            yield from zip(indices, masks, strict=True)

    found, expected = list(rows(on_target.backend(), 8)), list(rows(bp.select_backend("numpy", "float64"), 1))
    assert sorted(np.concatenate([indices for indices, _ in found])) == list(range(10))
    assert [len(indices) for indices, _ in found] == [4, 4, 2]
    for (indices, mask), (their_indices, their_mask) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(indices, their_indices)
        np.testing.assert_array_equal(mask, their_mask)


def test_training_agrees_with_pytorch_step_by_step(torch):
    """PyTorch is given the same batches in the same order."""
    network = bp.Network([4, 8, 3], "relu", "identity", backend="numpy", dtype="float64", seed=0)
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).double()
    with torch.no_grad():
        for linear, layer in zip((theirs[0], theirs[2]), network.layers, strict=True):
            linear.weight.copy_(torch.tensor(layer.weight))
            linear.bias.copy_(torch.tensor(layer.bias))
    history = network.fit(X, CLASSES, "cross_entropy", "adam", 0.01, epochs=3, batch_size=16, seed=9)

    stepper, generator = torch.optim.Adam(theirs.parameters(), lr=0.01), np.random.default_rng(9)
    for epoch in range(3):
        order, total = generator.permutation(50), 0.0
        for start in range(0, 50, 16):
            rows = order[start : start + 16]
            error = torch.nn.functional.cross_entropy(theirs(torch.tensor(X[rows])), torch.tensor(CLASSES[rows]))
            stepper.zero_grad()
            error.backward()
            stepper.step()
            total += len(rows) * error.item()
        assert history.loss[epoch] == pytest.approx(total / 50, rel=1e-12)
    for linear, layer in zip((theirs[0], theirs[2]), network.layers, strict=True):
        np.testing.assert_allclose(layer.weight, linear.weight.detach().numpy(), rtol=1e-10)
        np.testing.assert_allclose(layer.bias, linear.bias.detach().numpy(), rtol=1e-10)


def test_full_batch_descent_agrees_with_scikit_learn():
    theirs = sklearn.neural_network.MLPRegressor(
        hidden_layer_sizes=(6,),
        activation="tanh",
        solver="sgd",
        alpha=0.0,
        batch_size=50,
        learning_rate_init=0.05,
        momentum=0.9,
        nesterovs_momentum=False,
        max_iter=20,
        tol=0.0,
        n_iter_no_change=100,
        shuffle=False,
        random_state=0,
    )
    target = TARGET[:, 0]
    theirs.partial_fit(X, target)
    network = bp.Network.from_weights(
        [weight.T for weight in theirs.coefs_], theirs.intercepts_, "tanh", "identity", backend="numpy", dtype="float64"
    )
    history = network.fit(X, target, optimizer="sgd", learning_rate=0.05, epochs=20)
    for loss in history.loss:
        theirs.learning_rate_init, theirs._optimizer.velocities = 0.05, [np.zeros_like(v) for v in theirs._optimizer.velocities]
        theirs.partial_fit(X, target)
        assert theirs.loss_ == pytest.approx(loss, rel=1e-12)
    for weight, layer in zip(theirs.coefs_, network.layers, strict=True):
        np.testing.assert_allclose(layer.weight, weight.T, rtol=1e-10)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"])
def test_every_optimizer_learns(on_target, optimizer):
    network = on_target.network([4, 8, 2], "tanh", "identity", dtype="float32", seed=0)
    history = network.fit(X, TARGET, optimizer=optimizer, learning_rate=0.01, epochs=15, batch_size=10)
    assert history.loss[-1] < 0.9 * history.loss[0]
    assert len(history.loss) == 15 and all(isinstance(loss, float) for loss in history.loss)
    for layer in network.layers:
        on_target.values(layer.weight, "float32")


def test_user_loss_optimizer_and_activation(on_target):
    """The loss and the optimizer are pairs of functions, and the activation is an object that cannot be hashed."""
    xp = on_target.backend().xp

    class Unhashable:
        __hash__ = None

        def value(self, net):
            return xp.tanh(net)

        def delta(self, slope, signal):
            return slope * (1.0 - signal.out**2)

    def init(layers):
        return ()

    def update(gradient, state, layers):
        step = [bp.Layer(w - 0.1 * g.weight, b - 0.1 * g.bias) for (w, b), g in zip(layers, gradient, strict=True)]
        return step, state

    loss = (lambda out, target: xp.sum(0.5 * (out - target) ** 2, axis=-1), lambda out, target: out - target)
    own = on_target.network([4, 8, 2], [Unhashable(), "identity"], seed=0)
    own.fit(X, TARGET, loss=loss, optimizer=(init, update), epochs=3, batch_size=20)
    usual = on_target.network([4, 8, 2], "tanh", "identity", seed=0)
    usual.fit(X, TARGET, optimizer="sgd", learning_rate=0.1, epochs=3, batch_size=20)
    for mine, theirs in zip(parameters(own), parameters(usual), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-14)
    assert bp.check_gradient(own, X, TARGET, loss=loss).max_relative_error < 1e-7


def test_validation_and_sample_weights(on_target):
    network = on_target.network([4, 8, 2], "tanh", "identity", seed=0)
    weight = np.linspace(0.0, 1.0, 50)
    history = network.fit(X, TARGET, epochs=4, sample_weight=weight, validation_data=(X[:9], TARGET[:9], weight[:9]))
    assert len(history.validation_loss) == 4
    found = on_target.values(network.loss(X[:9], TARGET[:9], sample_weight=weight[:9]))
    assert history.validation_loss[-1] == pytest.approx(float(found), rel=1e-12)


def test_sample_weight_of_two_equals_a_repeated_sample(on_target):
    twice, weight = np.concatenate([X, X[:10]]), np.where(np.arange(50) < 10, 2.0, 1.0)
    network = on_target.network([4, 8, 2], "tanh", "identity", seed=0)
    target = np.concatenate([TARGET, TARGET[:10]])
    on_target.assert_close(network.loss(X, TARGET, sample_weight=weight), on_target.values(network.loss(twice, target)))
    for mine, theirs in zip(network.gradient(X, TARGET, sample_weight=weight), network.gradient(twice, target), strict=True):
        on_target.assert_close(mine.weight, on_target.values(theirs.weight), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("batch_size", [1, 7, None])
def test_sample_weights_count_across_batches(on_target, batch_size):
    """Weights are scaled once, over all samples: a batch of one sample with a large weight makes a larger step."""
    weight = np.linspace(0.0, 3.0, 50)
    network = on_target.network([4, 8, 2], "tanh", "identity", seed=0)
    expected = float(on_target.values(network.loss(X, TARGET, sample_weight=weight)))
    history = network.fit(X, TARGET, sample_weight=weight, batch_size=batch_size, learning_rate=1e-12)
    assert history.loss[0] == pytest.approx(expected, rel=1e-8)
    one = on_target.network([1, 1], "identity", bias=False, initializer="zeros")
    one.fit([[1.0], [1.0]], [[1.0], [1.0]], sample_weight=[3.0, 1.0], batch_size=1, learning_rate=0.1, epochs=1)
    on_target.assert_close(one.layers[0].weight, [[1.0 - (1 - 0.15) * (1 - 0.05)]])


def test_dropout_is_the_same_on_every_backend_and_off_in_predict(on_target):
    def trained(make):
        network = make([4, 8, 8, 2], "relu", "identity", seed=0)
        network.fit(X, TARGET, epochs=3, batch_size=20, dropout=[0.5, 0.0])
        return network

    mine, theirs = trained(on_target.network), trained(lambda *g, **o: bp.Network(*g, backend="numpy", dtype="float64", **o))
    on_target.assert_close(mine.predict(X), theirs.predict(X), rtol=1e-9)
    on_target.assert_close(mine.predict(X), on_target.values(mine.predict(X)), rtol=0.0)


def test_step_with_dropout_equals_a_step_of_the_masked_network():
    from portable_bp.algorithm.dropout import Dropout, draw_mask
    from portable_bp.algorithm.propagation import propagate

    network = bp.Network([4, 8, 2], "tanh", "identity", backend="numpy", dtype="float64", seed=0)
    mask = draw_mask(np.random.default_rng(5), 0.5, (50, 8))
    masked = [Dropout(network.activations[0], mask), network.activations[1]]
    gradient = propagate(masked, bp.losses.SquaredError(), network.layers, X, TARGET).gradient
    expected = [layer.weight - 0.1 * slope.weight for layer, slope in zip(network.layers, gradient, strict=True)]
    network.fit(X, TARGET, learning_rate=0.1, dropout=0.5, seed=5)
    for layer, weight in zip(network.layers, expected, strict=True):
        np.testing.assert_allclose(layer.weight, weight, rtol=1e-12)


def test_loss_of_one_batch_is_the_loss_before_its_step(on_target):
    network = on_target.network([4, 8, 2], seed=0)
    before = float(on_target.values(network.loss(X, TARGET)))
    assert network.fit(X, TARGET).loss[0] == pytest.approx(before, rel=1e-12)


def test_losses_are_fetched_once_per_epoch(monkeypatch):
    network = bp.Network([4, 8, 2], backend="strict:device1", seed=0)
    fetched = []
    to_numpy = type(network.backend).to_numpy
    x, target = network.backend.asarray(X), network.backend.asarray(TARGET)
    network.check_finite = False
    monkeypatch.setattr(type(network.backend), "to_numpy", lambda self, a: fetched.append(a.shape) or to_numpy(self, a))
    network.fit(x, target, epochs=3, batch_size=5, validation_data=(x, target), optimizer="adam")
    assert fetched == [(2,)] * 3


def test_early_stopping_restores_the_best_weights(on_target):
    """The validation targets are the negative of the targets, so that the validation loss rises with every epoch."""
    network = on_target.network([4, 8, 2], "tanh", "identity", seed=0)
    seen = []
    history = network.fit(
        X,
        TARGET,
        learning_rate=0.1,
        epochs=50,
        validation_data=(X, -TARGET),
        callbacks=[lambda training: seen.append(training.layers), bp.EarlyStopping(patience=3)],
    )
    best = int(np.argmin(history.validation_loss))
    assert history.best_epoch == best + 1
    assert len(history.loss) == best + 1 + 3 < 50
    assert "has not improved for 3 epochs" in history.stop_reason
    on_target.assert_close(network.layers[0].weight, on_target.values(seen[best][0].weight), rtol=0.0)


def test_early_stopping_restores_the_best_weights_when_another_callback_stops():
    network = bp.Network([4, 8, 2], "tanh", "identity", backend="numpy", seed=0)
    stopping = bp.EarlyStopping(patience=100)

    def stop_at_7(training):
        if training.epoch == 7:
            training.stop("enough")

    for _ in range(2):  # the second training starts afresh
        history = network.fit(X, TARGET, epochs=50, validation_data=(X, -TARGET), callbacks=[stopping, stop_at_7])
        assert history.stop_reason == "enough"
        assert history.best_epoch == int(np.argmin(history.validation_loss)) + 1


def test_early_stopping_on_the_training_loss_restores_the_weights_it_was_measured_on(on_target):
    """The learning rate is too large, so that the initial weights are the best."""
    network = on_target.network([4, 2], "identity", seed=0)
    before = on_target.values(network.layers[0].weight)
    history = network.fit(X, TARGET, learning_rate=3.0, epochs=40, callbacks=[bp.EarlyStopping(patience=5)])
    assert len(history.loss) == 6 and history.loss[1] > history.loss[0]
    assert history.best_epoch == 0
    on_target.assert_close(network.layers[0].weight, before, rtol=0.0)


def test_reused_early_stopping_starts_afresh():
    stopping, network = bp.EarlyStopping(patience=3), bp.Network([4, 2], "identity", backend="numpy", seed=0)
    for _ in range(2):
        history = network.fit(X, TARGET, learning_rate=3.0, epochs=40, callbacks=[stopping])
        assert len(history.loss) == 4


def test_improvement_below_min_delta_does_not_count():
    def epochs(min_delta):
        network = bp.Network([4, 8, 2], "tanh", "identity", backend="numpy", seed=0)
        stopping = bp.EarlyStopping(patience=2, min_delta=min_delta)
        return len(
            network.fit(X, TARGET, epochs=20, learning_rate=0.001, validation_data=(X, TARGET), callbacks=[stopping]).loss
        )

    assert epochs(0.0) == 20
    assert epochs(1.0) == 3


def test_error_in_a_callback_leaves_the_last_finished_epoch():
    network, seen = bp.Network([4, 8, 2], backend="numpy", seed=0), []

    def fail(training):
        seen.append(training.layers)
        if training.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        network.fit(X, TARGET, epochs=5, callbacks=[fail])
    np.testing.assert_array_equal(network.layers[0].weight, seen[2][0].weight)


@pytest.mark.parametrize("batch_size", [None, 7])
def test_divergence_stops_and_keeps_the_last_finite_weights(on_target, batch_size):
    network, seen = on_target.network([4, 8, 2], "identity", dtype="float32", seed=0), []
    with pytest.raises(bp.DivergenceError, match=r"stopped in epoch \d+, batch \d+, where .* NaN") as caught:
        network.fit(X, TARGET, learning_rate=1e6, epochs=30, batch_size=batch_size, callbacks=[lambda t: seen.append(t.layers)])
    assert f"in epoch {len(seen) + 1}, " in str(caught.value)
    for layer in network.layers:
        assert np.isfinite(on_target.values(layer.weight, "float32")).all()
    if batch_size is None and seen:
        on_target.assert_close(
            network.layers[0].weight, on_target.values(seen[-1][0].weight, "float32"), rtol=0.0, dtype="float32"
        )


def test_divergence_names_the_batch_and_keeps_the_weights_before_it(on_target):
    """The squared error of one sample overflows in float32; the seed determines which batch holds it."""
    x = np.ones((20, 1))
    x[11] = 1e25
    generator = np.random.default_rng(4)
    order, next_order = generator.permutation(20), generator.permutation(20)
    batch = order.tolist().index(11) // 4
    assert batch > 0 and batch != next_order.tolist().index(11) // 4
    network = on_target.network([1, 1], "identity", dtype="float32", seed=0)
    with pytest.raises(bp.DivergenceError, match=f"in epoch 1, batch {batch + 1},"):
        network.fit(x, np.zeros((20, 1)), batch_size=4, seed=4)
    steps = on_target.network([1, 1], "identity", dtype="float32", seed=0)
    for start in range(0, 4 * batch, 4):
        rows = order[start : start + 4]
        steps.fit(x[rows], np.zeros((4, 1)))
    found, expected = (on_target.values(n.layers[0].weight, "float32") for n in (network, steps))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (
        found != on_target.values(on_target.network([1, 1], "identity", dtype="float32", seed=0).layers[0].weight, "float32")
    ).all()


def test_overflow_in_the_last_step_is_found():
    """The loss is finite, and the update overflows: there is no later loss to show it."""
    network = bp.Network([1, 1], "identity", bias=False, backend="numpy", initializer="zeros")
    with pytest.raises(bp.DivergenceError, match="epoch 1, batch 1"):
        network.fit([[1e10]], [[1e10]], learning_rate=1e30)
    assert network.layers[0].weight == 0.0


def test_numpy_scalars_do_not_upcast_float32(on_target):
    network = on_target.network([4, 8, 2], "tanh", dtype="float32", seed=0)
    rate, share = np.float64(0.01), np.float64(0.9)
    inner = bp.optimizers.Momentum(bp.schedules.Exponential(rate, share), share)
    network.fit(X, TARGET, loss=bp.losses.Huber(rate), optimizer=bp.optimizers.Penalized(inner, l2=rate, l1=rate), epochs=2)
    network.fit(X, TARGET, learning_rate=rate)
    for layer in network.layers:
        on_target.values(layer.weight, "float32")


def test_random_numbers_continue_between_fits():
    def network():
        return bp.Network([4, 8, 2], backend="numpy", dtype="float64", seed=0)

    once, twice = network(), network()
    once.fit(X, TARGET, epochs=4, batch_size=10)
    for _ in range(2):
        twice.fit(X, TARGET, epochs=2, batch_size=10)
    np.testing.assert_array_equal(once.layers[0].weight, twice.layers[0].weight)


def test_progress_bar(capsys):
    network = bp.Network([4, 8, 2], backend="numpy", seed=0)
    network.fit(X, TARGET, epochs=3, batch_size=10, progress=True)
    shown = capsys.readouterr().err
    assert "15/15" in shown and "loss=" in shown
    network.fit(X, TARGET)
    assert capsys.readouterr() == ("", "")


def test_callback_may_change_the_learning_rate(on_target):
    """Halved after every epoch of one batch, it equals a schedule."""
    halve = bp.schedules.Step(0.4, every=1, factor=0.5)

    def callback(training):
        with on_target.current():
            training.state = training.state._replace(rate=0.5 * training.state.rate)

    fits = [
        {"optimizer": bp.optimizers.Steered(bp.optimizers.Momentum(0.4, 0.5)), "callbacks": [callback]},
        {"optimizer": bp.optimizers.Momentum(halve, 0.5)},
    ]
    found = []
    for fit in fits:
        network = on_target.network([3, 4, 2], seed=0)
        network.fit(np.eye(3), np.ones((3, 2)), epochs=8, **fit)
        found.append([on_target.values(parameter) for layer in network.layers for parameter in layer])
    for mine, expected in zip(*found, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-12)
