"""What scikit-learn rejects is rejected with an error of the same class, and the model stays as it was."""

import copy

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from portable_bp.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
HOLED = np.where(np.arange(4) == 2, np.nan, X)
BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
THEIRS = {MLPClassifier: sklearn.neural_network.MLPClassifier, MLPRegressor: sklearn.neural_network.MLPRegressor}


def error_of(function, *given, **options):
    with pytest.raises(Exception) as caught:  # which one is what the test asks
        function(*given, **options)
    return caught.value


PARAMETERS = [
    ("hidden_layer_sizes", 0),
    ("hidden_layer_sizes", (3, -1)),
    ("hidden_layer_sizes", "wide"),
    ("hidden_layer_sizes", [10.5]),
    ("hidden_layer_sizes", [None]),
    ("activation", "gelu"),
    ("solver", "newton"),
    ("alpha", -1.0),
    ("batch_size", 0),
    ("batch_size", "all"),
    ("learning_rate", "cosine"),
    ("learning_rate_init", 0.0),
    ("learning_rate_init", "fast"),
    ("power_t", -1),
    ("max_iter", 0),
    ("max_iter", 2.5),
    ("shuffle", "yes"),
    ("random_state", "seed"),
    ("tol", -1.0),
    ("verbose", "loud"),
    ("warm_start", "yes"),
    ("momentum", 1.5),
    ("nesterovs_momentum", 2),
    ("early_stopping", "sometimes"),
    ("validation_fraction", 1.0),
    ("beta_1", 1.0),
    ("beta_2", -0.1),
    ("epsilon", 0.0),
    ("n_iter_no_change", 0),
    ("max_fun", 0),
]


@BOTH
@pytest.mark.parametrize(("name", "value"), PARAMETERS)
def test_parameters(kind, name, value):
    mine, theirs = (error_of(which(**{name: value}).fit, X, Y) for which in (kind, THEIRS[kind]))
    assert isinstance(mine, type(theirs)), (mine, theirs)
    assert name in str(mine)


DATA = {
    "NaN": (HOLED, Y),
    "infinity": (np.where(np.isnan(HOLED), np.inf, HOLED), Y),
    "one dimension": (X[:, 0], Y),
    "three dimensions": (X[:, :, None], Y),
    "no samples": (X[:0], Y[:0]),
    "no features": (X[:, :0], Y),
    "fewer targets": (X, Y[:-1]),
    "no targets": (X, None),
    "NaN among targets": (X, np.where(Y == 1, np.nan, Y)),
    "text": (X.astype(str).tolist()[:5] + [["a", "b", "c", "d"]], Y[:6]),
    "complex": (X + 1j, Y),
    "ragged": ([[1.0, 2.0], [3.0]], [0, 1]),
    "a table of targets in three dimensions": (X, np.ones((len(X), 2, 2))),
}


@BOTH
@pytest.mark.parametrize("case", DATA)
def test_data(kind, case):
    x, y = DATA[case]
    mine, theirs = (error_of(which().fit, x, y) for which in (kind, THEIRS[kind]))
    assert isinstance(mine, type(theirs)), (mine, theirs)


@pytest.mark.parametrize(
    "y", [np.linspace(0.0, 1.0, 150), np.column_stack([Y, Y + 1]), [[0], [1, 2]] * 75], ids=["fractions", "columns", "ragged"]
)
def test_targets_that_are_not_classes(y):
    mine, theirs = (error_of(which().fit, X, y) for which in (MLPClassifier, THEIRS[MLPClassifier]))
    assert isinstance(mine, type(theirs)), (mine, theirs)


@BOTH
def test_weights(kind):
    for weight in (np.ones(149), np.full(150, np.nan), np.ones((150, 2)), ["a"] * 150, np.zeros(150)):
        mine, theirs = (error_of(which().fit, X, Y, weight) for which in (kind, THEIRS[kind]))
        assert isinstance(mine, type(theirs)), (mine, theirs)


@BOTH
def test_weights_that_cancel(kind):
    weight = np.tile([1.0, -1.0], 75)
    for which in (kind, THEIRS[kind]):
        assert isinstance(error_of(which(solver="lbfgs").fit, X, Y, weight), ZeroDivisionError)


def test_sparse_targets_of_a_regressor():
    for which in (MLPRegressor, THEIRS[MLPRegressor]):
        assert isinstance(error_of(which().fit, X, scipy.sparse.csr_matrix(Y[:, None])), TypeError)


@BOTH
def test_predict_before_fit_or_with_wrong_samples(kind):
    assert isinstance(error_of(kind().predict, X), NotFittedError)
    mine, theirs = (which(max_iter=2, random_state=0).fit(X, Y) for which in (kind, THEIRS[kind]))
    for x in (X[:, :3], HOLED, X[0], X[:0]):
        ours, given = error_of(mine.predict, x), error_of(theirs.predict, x)
        assert isinstance(ours, type(given)), (ours, given)


def test_partial_fit_and_classes():
    for kind in (MLPClassifier, THEIRS[MLPClassifier]):
        assert isinstance(error_of(kind().partial_fit, X, Y), ValueError)
        model = kind().partial_fit(X, Y, classes=[0, 1, 2])
        for y, classes in ((Y + 1, None), (Y, [0, 1]), (np.asarray(["a", "b", "c"])[Y], None), (np.eye(3, dtype=int)[Y], None)):
            error = error_of(model.partial_fit, X, y, classes=classes)
            assert isinstance(error, ValueError | TypeError), error
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    assert not hasattr(MLPRegressor(solver="lbfgs"), "partial_fit")
    assert isinstance(error_of(MLPClassifier(early_stopping=True).partial_fit, X, Y, classes=[0, 1, 2]), ValueError)


@BOTH
@pytest.mark.parametrize("dropout", [1.0, -0.1, float("nan"), "half"])
def test_a_dropout_rate_out_of_range_is_an_error_of_scikit_learn(kind, dropout):
    assert isinstance(error_of(kind(dropout=dropout).fit, X, Y), InvalidParameterError)


@BOTH
@pytest.mark.parametrize(
    ("options", "given", "sentence"),
    [
        ({"dropout": 1.0}, {}, "dropout"),
        ({"dropout": [0.1, 0.2]}, {}, "hidden layer, of which there are 1"),
        ({"dropout": 0.5, "solver": "lbfgs"}, {}, "use adam or sgd"),
        ({"callbacks": [3]}, {}, "callbacks holds 3"),
        ({"backend": "numpi"}, {}, "did you mean 'numpy'"),
        ({"backend": 3}, {}, "backend"),
        ({}, {"X_val": X}, "give both"),
        ({}, {"X_val": X[:, :2], "y_val": Y}, "features"),
        ({}, {"X_val": X, "y_val": Y[:-1]}, "(?i)samples"),
        ({"solver": "lbfgs"}, {"X_val": X, "y_val": Y}, "leave it out"),
    ],
    ids=str,
)
def test_parameters_that_scikit_learn_does_not_have(kind, options, given, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        kind(**options).fit(X, Y, **given)


def test_more_errors_that_scikit_learn_does_not_have():
    with pytest.raises(ValueError, match="numbers from 0 up"):
        MLPRegressor("poisson").fit(X, Y - 1.0)
    with pytest.raises(ValueError, match="class_weight"):
        MLPClassifier(class_weight="fair").fit(X, Y)
    with pytest.raises(ValueError, match="partial_fit keep them"):
        model = MLPClassifier(max_iter=1, warm_start=True).fit(X, Y)
        model.set_params(hidden_layer_sizes=(7,)).fit(X, Y)
    with pytest.raises(ValueError, match="the model knows"):
        MLPClassifier(max_iter=1).fit(X[:100], Y[:100], X_val=X, y_val=Y)


@BOTH
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_failed_fit_leaves_the_model_as_it_was(kind, warm_start):
    model = kind(solver="sgd", max_iter=3, random_state=0, warm_start=warm_start).fit(X, Y)
    before = copy.deepcopy(vars(model))
    for x, y in ((HOLED, Y), (X[:, :2], Y[:-1]), (X[:, :2], None), (X * 1e307, Y)):
        assert isinstance(error_of(model.fit, x, y), ValueError)
        assert vars(model).keys() == before.keys()
        for name in before.keys() - {"_optimizer", "_random_state"}:
            np.testing.assert_equal(vars(model)[name], before[name])


@BOTH
def test_a_failed_partial_fit_leaves_no_trace(kind):
    model = kind(solver="sgd", random_state=0, learning_rate="invscaling", batch_size=10, callbacks=[])
    classes = {"classes": [0, 1, 2]} if kind is MLPClassifier else {}
    model.partial_fit(X, Y, **classes)
    parameter, expected = model.callbacks, copy.deepcopy(model).partial_fit(X, Y)
    assert isinstance(error_of(model.partial_fit, X * 1e300, Y), ValueError)
    assert model.callbacks is parameter
    model.partial_fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])
    assert model.loss_curve_ == expected.loss_curve_
