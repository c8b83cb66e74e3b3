"""What scikit-learn's multilayer perceptron does not have: validation data, class weights, dropout, callbacks."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_sample_weight

import portable_bp as bp
from portable_bp.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
FAST = {"random_state": 0, "learning_rate_init": 0.01}


@BOTH
def test_given_validation_data_replace_held_out_samples(kind):
    """Holding out by hand the samples that early_stopping holds out gives the same model."""
    options = FAST | {"early_stopping": True, "max_iter": 30, "hidden_layer_sizes": (5,)}
    expected = kind(**options | {"random_state": np.random.RandomState(0)}).fit(X, Y)
    drawn = np.random.RandomState(0)
    outputs = 3 if kind is MLPClassifier else 1
    for fan_in, fan_out in ((4, 5), (5, outputs)):
        drawn.uniform(size=(fan_in + 1) * fan_out)
    learned, held_out = train_test_split(np.arange(len(X)), test_size=0.1, random_state=drawn)

    class AfterTheSplit(np.random.RandomState):
        """Draws the weights, then goes on where the split left off."""

        def shuffle(self, array):
            drawn.shuffle(array)

    given = kind(**options | {"random_state": AfterTheSplit(0)})
    given.fit(X[learned], Y[learned], X_val=X[held_out], y_val=Y[held_out])
    np.testing.assert_allclose(given.validation_scores_, expected.validation_scores_, rtol=1e-12)
    np.testing.assert_allclose(given.coefs_[0], expected.coefs_[0], rtol=1e-9)


@BOTH
def test_validation_scores_are_recorded_without_early_stopping_too(kind):
    model = kind(max_iter=5, **FAST).fit(X, Y, X_val=X[::2], y_val=Y[::2])
    assert len(model.validation_scores_) == 5 and model.best_validation_score_ == max(model.validation_scores_)
    np.testing.assert_allclose(model.validation_scores_[-1], model.score(X[::2], Y[::2]), rtol=1e-12)
    plain = kind(max_iter=5, **FAST).fit(X, Y)
    np.testing.assert_array_equal(plain.coefs_[0], model.coefs_[0])


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 2.5, 2: 0.1}])
def test_class_weights_are_sample_weights(class_weight):
    y = np.where(np.arange(150) < 120, Y, 2)
    weight = np.linspace(0.5, 1.5, 150)
    by_class = compute_sample_weight(class_weight, y)
    for given, together in ((None, by_class), (weight, weight * by_class)):
        model = MLPClassifier(class_weight=class_weight, max_iter=10, **FAST).fit(X, y, given)
        expected = MLPClassifier(max_iter=10, **FAST).fit(X, y, together)
        np.testing.assert_allclose(model.coefs_[0], expected.coefs_[0], rtol=1e-12)
    named = np.asarray(["a", "b", "c"])[y]
    by_name = MLPClassifier(class_weight={"a": 1.0, "b": 2.5, "c": 0.1}, max_iter=10, **FAST).fit(X, named)
    by_number = MLPClassifier(class_weight={0: 1.0, 1: 2.5, 2: 0.1}, max_iter=10, **FAST).fit(X, y)
    np.testing.assert_array_equal(by_name.coefs_[0], by_number.coefs_[0])


def test_class_weights_of_multilabel_targets_are_multiplied():
    labels = np.column_stack([Y == 0, Y == 1]).astype(int)
    given = [{0: 1.0, 1: 2.0}, {0: 0.5, 1: 3.0}]
    weight = compute_sample_weight(given, labels)
    assert set(weight) == {1.0 * 3.0, 2.0 * 0.5, 1.0 * 0.5}
    model = MLPClassifier(class_weight=given, max_iter=10, **FAST).fit(X, labels)
    np.testing.assert_allclose(model.coefs_[0], MLPClassifier(max_iter=10, **FAST).fit(X, labels, weight).coefs_[0], rtol=1e-12)


@BOTH
def test_dropout(kind, monkeypatch):
    """A neuron that is always dropped learns nothing and changes nothing; the others learn as if it did not exist."""
    options = {"max_iter": 10, "hidden_layer_sizes": (6,), "alpha": 0.0, "shuffle": False, **FAST}
    drawn = []

    def draw_mask(generator, rate, shape):
        drawn.append((rate, shape))
        return np.broadcast_to(np.arange(shape[1]) != 2, shape) / 1.0

    monkeypatch.setattr("portable_bp.training.batches.draw_mask", draw_mask)
    model = kind(dropout=0.25, **options).fit(X, Y)
    before = kind(**options | {"learning_rate_init": 1e-300}).fit(X, Y)
    assert drawn == [(0.25, (150, 6))] * 10
    np.testing.assert_array_equal(model.coefs_[0][:, 2], before.coefs_[0][:, 2])
    np.testing.assert_array_equal(model.coefs_[1][2], before.coefs_[1][2])
    assert (model.coefs_[0][:, :2] != before.coefs_[0][:, :2]).all()


@BOTH
def test_one_dropout_rate_and_one_per_layer(kind):
    options = FAST | {"max_iter": 10, "hidden_layer_sizes": (20, 10)}
    one, same, other, none = (kind(dropout=rate, **options).fit(X, Y) for rate in (0.5, [0.5, 0.5], [0.5, 0.0], 0.0))
    np.testing.assert_array_equal(one.coefs_[0], same.coefs_[0])
    assert not np.allclose(one.coefs_[0], other.coefs_[0]) and not np.allclose(one.coefs_[0], none.coefs_[0])


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_callbacks_see_every_epoch_and_may_stop_it(kind, solver):
    seen = []

    def watch(training):
        seen.append((training.epoch, training.history.loss[-1]))
        if training.epoch == 4:
            training.stop("enough")

    model = kind(solver=solver, callbacks=[watch], **FAST).fit(X, Y)
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4] and model.n_iter_ == 4
    if solver != "lbfgs":
        assert [loss for _, loss in seen] == model.loss_curve_


@BOTH
def test_our_early_stopping_monitors_the_validation_loss(kind):
    stopping = bp.EarlyStopping(patience=3)
    losses = []
    callbacks = [lambda training: losses.append(training.history.validation_loss[-1]), stopping]
    model = kind(callbacks=callbacks, max_iter=400, learning_rate_init=0.05, random_state=0)
    model.fit(X[::2], Y[::2], X_val=X[1::2], y_val=Y[1::2])
    best = int(np.argmin(losses)) + 1
    assert len(losses) < 400 and best < len(losses)
    again = kind(max_iter=best, learning_rate_init=0.05, random_state=0, n_iter_no_change=np.inf).fit(X[::2], Y[::2])
    np.testing.assert_allclose(model.coefs_[0], again.coefs_[0], rtol=1e-9)


@BOTH
def test_an_interrupted_fit_keeps_the_last_finished_epoch(kind):
    def interrupt(training):
        if training.epoch == 6:
            raise KeyboardInterrupt

    model = kind(callbacks=[interrupt], **FAST)
    with pytest.warns(UserWarning, match="interrupted: the model has the weights of the last finished epoch"):
        model.fit(X, Y)
    expected = kind(max_iter=6, **FAST).fit(X, Y)
    assert model.n_iter_ == 6
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])


@BOTH
def test_an_interrupted_fit_with_early_stopping_keeps_the_best_weights(kind):
    kept = {}

    def interrupt(training):
        kept[training.epoch] = training.layers
        if training.epoch == 6:
            raise KeyboardInterrupt

    model = kind(callbacks=[interrupt], early_stopping=True, **FAST)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, Y)
    best = 1 + int(np.argmax(model.validation_scores_))
    np.testing.assert_array_equal(model.coefs_[0], kept[best][0].weight.T)


@BOTH
def test_a_callback_may_restore_weights_with_lbfgs(kind):
    class First:
        def __call__(self, training):
            self.layers = training.layers if training.epoch == 1 else self.layers

        def finish(self, training):
            training.layers = self.layers

    model = kind(solver="lbfgs", max_iter=20, callbacks=[First()], random_state=0).fit(X, Y)
    np.testing.assert_allclose(model.coefs_[0], kind(solver="lbfgs", max_iter=1, random_state=0).fit(X, Y).coefs_[0])


def test_validation_data_need_the_same_outputs():
    both = np.column_stack([Y, Y])
    for y, y_val in ((Y, both), (both, Y)):
        with pytest.raises(ValueError, match="give a column for each"):
            MLPRegressor(max_iter=2).fit(X, y, X_val=X, y_val=y_val)
