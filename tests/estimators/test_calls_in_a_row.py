"""Dropout over several calls: the masks continue, and everything else is drawn as in scikit-learn."""

import copy
import pickle

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.base import clone
from sklearn.datasets import load_iris

from portable_bp.algorithm.dropout import draw_mask
from portable_bp.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
SOLVERS = pytest.mark.parametrize("solver", ["adam", "sgd"])
STATES = pytest.mark.parametrize("make", [lambda: 3, lambda: np.random.RandomState(3)], ids=["int", "instance"])
CALLS = pytest.mark.parametrize("how", ["partial_fit", "warm_start"])
THEIRS = {MLPClassifier: sklearn.neural_network.MLPClassifier, MLPRegressor: sklearn.neural_network.MLPRegressor}
OPTIONS = {"hidden_layer_sizes": (9, 5), "dropout": 0.5, "batch_size": 40, "learning_rate_init": 0.01}


def train_on(model, how, calls):
    """Call partial_fit, or fit with a warm start for one epoch, this many times."""
    classes = {"classes": [0, 1, 2]} if how == "partial_fit" and isinstance(model, MLPClassifier) else {}
    for _ in range(calls):
        if how == "partial_fit":
            model.partial_fit(X, Y, **classes)
        else:
            model.set_params(warm_start=True, max_iter=1).fit(X, Y)
    return model


def assert_same(mine, theirs, rtol=0.0):
    for ours, given in zip([*mine.coefs_, *mine.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        np.testing.assert_allclose(ours, given, rtol=rtol, atol=1e-3 * rtol * np.max(np.abs(given)))
    np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=rtol)


@BOTH
@SOLVERS
@STATES
@CALLS
def test_every_call_draws_new_masks(kind, solver, make, how, monkeypatch):
    drawn = []

    def remember(*given):
        drawn.append(draw_mask(*given))
        return drawn[-1]

    monkeypatch.setattr("portable_bp.training.batches.draw_mask", remember)
    train_on(kind(solver=solver, random_state=make(), **OPTIONS), how, 4)
    assert len(drawn) == 4 * 4 * 2
    masks = {mask.tobytes() for mask in drawn}
    assert len(masks) == len(drawn)
    assert abs(np.mean([np.mean(mask) for mask in drawn]) - 1.0) < 0.05


@BOTH
@SOLVERS
@STATES
def test_without_shuffling_partial_fits_equal_the_epochs_of_one_fit(kind, solver, make):
    options = OPTIONS | {"solver": solver, "shuffle": False}
    one = kind(random_state=make(), max_iter=5, n_iter_no_change=np.inf, **options).fit(X, Y)
    assert_same(train_on(kind(random_state=make(), **options), "partial_fit", 5), one, 1e-9)


@BOTH
@SOLVERS
@STATES
@CALLS
def test_a_vanishing_dropout_rate_leaves_scikit_learns_numbers_unchanged(kind, solver, make, how):
    """A rate this small drops nothing, and drawing its masks must not shift any other random number."""
    options = OPTIONS | {"solver": solver}
    del options["dropout"]
    mine, theirs = kind(dropout=1e-300, random_state=make(), **options), THEIRS[kind](random_state=make(), **options)
    for model in (mine, theirs):
        classes = {"classes": [0, 1, 2]} if kind is MLPClassifier and how == "partial_fit" else {}
        for _ in range(3):
            if how == "partial_fit":
                model.partial_fit(X, Y, **classes)
            else:
                model.set_params(warm_start=True, max_iter=2).fit(X, Y)
    assert_same(mine, theirs, 1e-9)


@BOTH
@STATES
@CALLS
def test_the_same_calls_give_the_same_model(kind, make, how):
    first, second = (train_on(kind(random_state=make(), **OPTIONS), how, 4) for _ in range(2))
    assert_same(first, second)


@BOTH
def test_fit_restarts_the_masks(kind):
    model = kind(random_state=3, max_iter=3, **OPTIONS).fit(X, Y)
    before = model.coefs_
    train_on(model, "partial_fit", 2)
    again = model.fit(X, Y)
    assert_same(again, kind(random_state=3, max_iter=3, **OPTIONS).fit(X, Y))
    np.testing.assert_array_equal(again.coefs_[0], before[0])


@BOTH
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"])
def test_a_copy_continues_and_a_clone_restarts(kind, copied):
    model = train_on(kind(random_state=3, **OPTIONS), "partial_fit", 2)
    other, fresh = copied(model), clone(model)
    assert_same(train_on(other, "partial_fit", 2), train_on(model, "partial_fit", 2))
    assert_same(model, train_on(kind(random_state=3, **OPTIONS), "partial_fit", 4))
    assert_same(train_on(fresh, "partial_fit", 4), model)


@BOTH
def test_a_failed_call_draws_nothing(kind):
    model = train_on(kind(solver="sgd", random_state=3, **OPTIONS), "partial_fit", 2)
    expected = train_on(copy.deepcopy(model), "partial_fit", 1)
    with pytest.raises(ValueError, match="non-finite"):
        model.partial_fit(1e300 * X, Y)
    assert_same(train_on(model, "partial_fit", 1), expected)


@BOTH
def test_masks_continue_after_calls_without_dropout(kind):
    """The masks continue after calls without dropout."""
    model = train_on(kind(random_state=3, **OPTIONS), "partial_fit", 1)
    state = model._mask_generator.bit_generator.state
    train_on(model.set_params(dropout=0.0), "partial_fit", 2)
    assert model._mask_generator.bit_generator.state == state
    train_on(model.set_params(dropout=0.5), "partial_fit", 1)
    assert model._mask_generator.bit_generator.state != state


@BOTH
def test_without_random_state_the_global_seed_of_numpy_is_used(kind):
    models = []
    for seed in (5, 5, 6):
        np.random.seed(seed)
        models.append(train_on(kind(**OPTIONS), "partial_fit", 3))
    assert_same(models[0], models[1])
    assert (models[0].coefs_[0] != models[2].coefs_[0]).all()


def test_three_hundred_partial_fits_do_not_overfit():
    generator = np.random.default_rng(0)
    samples, new = generator.normal(size=(200, 10)), generator.normal(size=(2000, 10))
    y, y_new = (np.sin(x[:, 0]) + x[:, 1] * x[:, 2] for x in (samples, new))
    options = {"hidden_layer_sizes": (64, 64), "dropout": 0.5, "learning_rate_init": 0.005, "alpha": 0.0, "random_state": 0}
    model = MLPRegressor(**options)
    for _ in range(300):
        model.partial_fit(samples, y)
    one = MLPRegressor(max_iter=300, n_iter_no_change=np.inf, **options).fit(samples, y)
    assert model.loss_ > 0.5 * one.loss_
    assert model.score(new, y_new) > one.score(new, y_new) - 0.1 > 0.5
