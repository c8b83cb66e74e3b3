"""EarlyStopping restores the weights with the lowest known loss, and keeps the last ones if none are known to be better."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import portable_bp as bp
from tests.support.networks import bits

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(50, 4))
TARGET = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
BATCHES = pytest.mark.parametrize("batch_size", [None, 50, 10, 7])


def trained(make=bp.Network, callbacks=(), **options):
    if make is bp.Network:
        options = {"backend": "numpy", "dtype": "float64"} | options
    fit = {name: options.pop(name) for name in list(options) if name not in ("backend", "dtype")}
    network = make([4, 8, 2], "tanh", "identity", seed=0, **options)
    return network, network.fit(X, TARGET, callbacks=callbacks, **fit)


@BATCHES
def test_training_of_one_epoch_is_kept(on_target, batch_size):
    mine, history = trained(on_target.network, [bp.EarlyStopping()], batch_size=batch_size)
    assert bits(mine) == bits(trained(on_target.network, batch_size=batch_size)[0])
    assert history.best_epoch == 1 and history.stop_reason is None


@BATCHES
def test_repeated_fits_of_one_epoch_are_not_undone(batch_size):
    def run(callbacks):
        network = bp.Network([4, 8, 2], "tanh", "identity", backend="numpy", seed=0)
        for _ in range(30):
            network.fit(X, TARGET, callbacks=callbacks, batch_size=batch_size)
        return network

    assert bits(run([bp.EarlyStopping()])) == bits(run([]))


@BATCHES
@pytest.mark.parametrize("validated", [False, True])
def test_training_that_improves_to_its_end_keeps_the_last_weights(batch_size, validated):
    options = {"epochs": 20, "batch_size": batch_size, "learning_rate": 0.02}
    options |= {"validation_data": (X, TARGET)} if validated else {}
    mine, history = trained(callbacks=[bp.EarlyStopping()], **options)
    losses = history.validation_loss or history.loss
    assert losses == sorted(losses, reverse=True)
    assert history.best_epoch == 20
    assert bits(mine) == bits(trained(**options)[0])


@hypothesis.given(
    rate=st.floats(0.05, 3.0),
    epochs=st.integers(1, 30),
    patience=st.integers(1, 6),
    min_delta=st.sampled_from([0.0, 0.01, 1.0]),
    batch_size=st.sampled_from([None, 10]),
    validated=st.booleans(),
    stop_at=st.integers(1, 60),
)
def test_restored_weights_have_the_lowest_known_loss(rate, epochs, patience, min_delta, batch_size, validated, stop_at):
    """The reference is a record of the weights before and after every epoch, and of their losses."""
    seen = [bp.Network([4, 8, 2], "tanh", "identity", backend="numpy", dtype="float64", seed=0).layers]

    def remember(training):
        seen.append(training.layers)
        if training.epoch == stop_at:
            training.stop("enough")

    options = {"epochs": epochs, "batch_size": batch_size, "learning_rate": rate}
    options |= {"validation_data": (X[:9], -TARGET[:9])} if validated else {}
    mine, history = trained(callbacks=[remember, bp.EarlyStopping(patience, min_delta)], **options)
    losses = history.validation_loss or history.loss
    before = batch_size is None and not validated
    best = int(np.argmin(losses)) + 1
    expected = best if best == len(losses) or not before else best - 1
    assert history.best_epoch == expected
    for layer, kept in zip(mine.layers, seen[expected], strict=True):
        np.testing.assert_array_equal(layer.weight, kept.weight)
    if before and best < len(losses):
        np.testing.assert_allclose(mine.loss(X, TARGET), min(losses), rtol=1e-12)
    if validated:
        np.testing.assert_allclose(mine.loss(X[:9], -TARGET[:9]), min(losses), rtol=1e-12)
    # A reference count of the epochs without an improvement.
    reference, waited = np.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        waited = 0 if loss < reference - min_delta else waited + 1
        reference = loss if waited == 0 else reference
        assert epoch == len(losses) or waited < patience
    assert (waited >= patience) == ("has not improved" in (history.stop_reason or ""))


def test_improvements_below_min_delta_still_count_for_the_best_weights():
    network, history = trained(
        callbacks=[bp.EarlyStopping(5, 10.0)], epochs=50, learning_rate=0.02, validation_data=(X, TARGET)
    )
    assert len(history.loss) == 6 and "has not improved" in history.stop_reason
    assert history.best_epoch == 6 == np.argmin(history.validation_loss) + 1
    np.testing.assert_allclose(network.loss(X, TARGET), history.validation_loss[-1])


def test_earlier_training_is_forgotten():
    """Its losses were lower, and its weights had other shapes."""
    stopping = bp.EarlyStopping(patience=3)
    trained(callbacks=[stopping], epochs=40, learning_rate=0.02)
    network = bp.Network([4, 3, 2], "tanh", "identity", backend="numpy", seed=1)
    expected = network.to("numpy")
    history = network.fit(X, 100.0 * TARGET, callbacks=[stopping], epochs=2, learning_rate=1e-5)
    expected.fit(X, 100.0 * TARGET, epochs=2, learning_rate=1e-5)
    assert history.best_epoch == 2 and bits(network) == bits(expected)


@pytest.mark.parametrize("min_delta", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("batch_size", [None, 10])
@pytest.mark.parametrize("interrupted", [1, 2, 5, 8])
def test_early_stopping_resumes_from_a_checkpoint(tmp_path, min_delta, batch_size, interrupted):
    pytest.importorskip("safetensors")
    options = {"batch_size": batch_size, "learning_rate": 0.3}
    whole, history = trained(callbacks=[bp.EarlyStopping(3, min_delta)], epochs=20, **options)
    for epochs in (interrupted, 20):
        stopping = bp.EarlyStopping(3, min_delta)
        parts, their_history = trained(
            callbacks=[stopping], epochs=epochs, checkpoint=tmp_path / "run.safetensors", resume=True, **options
        )
    assert bits(parts) == bits(whole) and their_history == history


def test_stop_reason_says_that_the_loss_was_never_finite():
    network = bp.Network([4, 2], backend="numpy", seed=0)
    far = np.full((2, 4), 1e30), np.full((2, 2), 1e30)
    history = network.fit(X, TARGET, epochs=30, validation_data=far, callbacks=[bp.EarlyStopping(patience=2)])
    assert history.stop_reason == "the loss has not been a finite number for 2 epochs"
    assert len(history.loss) == 2 and history.best_epoch is None
