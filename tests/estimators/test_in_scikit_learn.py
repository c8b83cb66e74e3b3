"""The estimators inside scikit-learn's tools: pipelines, searches, data frames, sparse matrices, pickles."""

import copy
import io
import pickle
import tracemalloc
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn.neural_network
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from portable_bp import select_backend
from portable_bp.backends import backend_of
from portable_bp.estimators import MLPClassifier, MLPRegressor, samples
from portable_bp.estimators.devices import to_host

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, SPECIES = load_iris(return_X_y=True)
NAMES = np.asarray(["setosa", "versicolor", "virginica"])[SPECIES]
BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
THEIRS = {MLPClassifier: sklearn.neural_network.MLPClassifier, MLPRegressor: sklearn.neural_network.MLPRegressor}


@BOTH
def test_the_parameters_are_scikit_learns_followed_by_ours(kind):
    mine, theirs = kind().get_params(), THEIRS[kind]().get_params()
    assert {name: mine[name] for name in theirs} == theirs
    ours = {"backend", "dropout", "callbacks", *(["class_weight"] if kind is MLPClassifier else [])}
    assert set(mine) - set(theirs) == ours
    by_place = kind("poisson", (3,), "tanh") if kind is MLPRegressor else kind((3,), "tanh")
    assert by_place.hidden_layer_sizes == (3,) and by_place.activation == "tanh"
    with pytest.raises(TypeError):
        kind(*([None] * 4))
    copied = clone(kind(hidden_layer_sizes=(3, 4), callbacks=(print,)))
    assert copied.get_params() == kind(hidden_layer_sizes=(3, 4), callbacks=(print,)).get_params()


@BOTH
def test_a_search_in_a_pipeline_finds_what_scikit_learns_finds(kind):
    grid = {"mlp__alpha": [1e-4, 1.0], "mlp__hidden_layer_sizes": [(5,), (5, 3)]}

    def search(kind, jobs):
        model = kind(max_iter=15, random_state=0, learning_rate_init=0.01)
        pipeline = Pipeline([("scale", StandardScaler()), ("mlp", model)])
        return GridSearchCV(pipeline, grid, cv=3, n_jobs=jobs).fit(X, SPECIES)

    mine, theirs = search(kind, 2), search(THEIRS[kind], 1)
    assert mine.best_params_ == theirs.best_params_
    np.testing.assert_allclose(mine.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-9)


@BOTH
def test_cross_validation(kind):
    model, theirs = (which(max_iter=20, random_state=0, learning_rate_init=0.01) for which in (kind, THEIRS[kind]))
    np.testing.assert_allclose(*(cross_val_score(which, X, SPECIES, cv=3) for which in (model, theirs)), rtol=1e-9)


@BOTH
@pytest.mark.parametrize("early_stopping", [False, True])
def test_feature_names_of_frames_are_stored_and_checked(kind, early_stopping):
    columns = ["a", "b", "c", "d"]
    expected = kind(max_iter=5, random_state=0, early_stopping=early_stopping).fit(X, SPECIES)
    for frame, column in (
        (pd.DataFrame(X, columns=columns), pd.Series(SPECIES)),
        (pl.DataFrame(X, schema=columns), pl.Series(SPECIES)),
    ):
        model = kind(max_iter=5, random_state=0, early_stopping=early_stopping).fit(frame, column)
        assert list(model.feature_names_in_) == columns
        np.testing.assert_allclose(model.predict(frame), expected.predict(X))
        np.testing.assert_allclose(model.score(frame, column), expected.score(X, SPECIES))
        with pytest.raises(ValueError, match="feature names"):
            model.predict(frame[["b", "a", "c", "d"]])
        with pytest.warns(UserWarning, match="valid feature names"):
            model.predict(X)


def test_set_output_upstream():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=5, random_state=0)).set_output(transform="pandas")
    pipeline.fit(pd.DataFrame(X, columns=list("abcd")), NAMES)
    assert list(pipeline[-1].feature_names_in_) == list("abcd")
    assert set(pipeline.predict(pd.DataFrame(X, columns=list("abcd")))) <= set(NAMES)


@BOTH
@pytest.mark.parametrize("container", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, scipy.sparse.csr_array])
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "lbfgs"}, {"shuffle": False}], ids=str)
def test_sparse_samples_in_parts_equal_dense_ones(kind, container, options, monkeypatch):
    monkeypatch.setattr(samples, "MAX_DENSE", 7 * X.shape[1])
    weight = np.linspace(0.5, 1.5, len(X))
    options = {"max_iter": 6, "random_state": 0, "alpha": 0.1} | options
    close = {"rtol": 1e-4, "atol": 1e-6} if "solver" in options else {"rtol": 1e-9, "atol": 1e-12}
    model = kind(**options).fit(container(X), SPECIES, weight)
    expected = kind(**options).fit(X, SPECIES, weight)
    np.testing.assert_allclose(model.coefs_[0], expected.coefs_[0], **close)
    np.testing.assert_allclose(model.predict(container(X)), expected.predict(X), **close)


def test_a_sparse_matrix_is_never_made_dense_all_at_once():
    wide = scipy.sparse.random(1500, 20_000, density=1e-4, random_state=0, format="csr")  # 240 MB if it were dense
    model = MLPRegressor(hidden_layer_sizes=(2,), max_iter=1, batch_size=50, random_state=0)
    tracemalloc.start()
    model.fit(wide, np.arange(1500.0)).predict(wide)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200e6


def test_sparse_labels_come_back_sparse():
    labels = np.column_stack([SPECIES == 0, SPECIES == 1]).astype(int)
    mine, theirs = (
        kind(max_iter=30, random_state=0, early_stopping=True).fit(X, scipy.sparse.csr_matrix(labels)).predict(X)
        for kind in (MLPClassifier, THEIRS[MLPClassifier])
    )
    assert type(mine) is type(theirs) and mine.dtype == theirs.dtype
    np.testing.assert_array_equal(mine.toarray(), theirs.toarray())


def test_text_labels():
    model = MLPClassifier(max_iter=30, random_state=0).fit(X, NAMES)
    assert model.predict(X).dtype == NAMES.dtype and set(model.classes_) == set(NAMES)
    assert model.score(X, NAMES) == np.mean(model.predict(X) == NAMES)
    as_objects = MLPClassifier(max_iter=30, random_state=0).fit(X.tolist(), NAMES.astype(object).tolist())
    np.testing.assert_array_equal(as_objects.predict(X), model.predict(X))
    alone = MLPClassifier(max_iter=2).fit(X, np.full(len(X), "only"))
    assert set(alone.predict(X)) == {"only"}


@pytest.mark.parametrize("y", [np.full(9, "only"), np.full(9, 3.0)], ids=["text", "numbers"])
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_one_class_is_one_column_of_ones(on_target, y):
    """As with scikit-learn's other classifiers; its MLPClassifier returns two columns, neither of them the class's."""
    backend = on_target.backend()
    others = GaussianNB().fit(X[:9], y)
    moved = y if y.dtype.kind == "U" else backend.asarray(y.astype(int), "int32")
    for x, labels in ((X[:9], y), (backend.asarray(X[:9]), moved)):
        model = MLPClassifier((3,), max_iter=1, random_state=0).fit(x, labels)
        for method in ("predict_proba", "predict_log_proba"):
            mine, theirs = getattr(model, method)(x), getattr(others, method)(X[:9])
            assert tuple(mine.shape) == theirs.shape == (9, model.classes_.shape[0]) and mine.dtype == model.coefs_[0].dtype
            np.testing.assert_array_equal(to_host(mine), theirs)


def test_one_class_of_a_partial_fit():
    for classes in ([0], [0, 1], [0, 1, 2]):
        model = MLPClassifier((3,)).partial_fit(X, np.zeros(len(X)), classes=classes)
        assert model.predict_proba(X).shape == model.predict_log_proba(X).shape == (len(X), len(classes))


@pytest.mark.filterwarnings("ignore:Number of classes in training fold:RuntimeWarning")
def test_folds_of_one_class():
    y = np.repeat([0, 1], len(X) // 2)
    folds = KFold(2)  # each trains on one class and predicts the other
    mine, theirs = (
        cross_val_predict(model, X, y, cv=folds, method="predict_proba")
        for model in (MLPClassifier((3,), max_iter=2, random_state=0), GaussianNB())
    )
    np.testing.assert_array_equal(mine, theirs)


@BOTH
def test_pickled_models_continue_training(kind, tmp_path):
    model = kind(random_state=0, solver="sgd", learning_rate_init=0.01)
    classes = {"classes": [0, 1, 2]} if kind is MLPClassifier else {}
    model.partial_fit(X, SPECIES, **classes)
    joblib.dump(model, tmp_path / "model.joblib")
    for twin in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(twin.predict(X), model.predict(X))
        twin.partial_fit(X, SPECIES)
        expected = pickle.loads(pickle.dumps(model)).partial_fit(X, SPECIES)
        np.testing.assert_array_equal(twin.coefs_[0], expected.coefs_[0])


COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "joblib": lambda model: joblib.load(_dumped(model)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


def _dumped(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return file


@BOTH
@pytest.mark.parametrize("options", [{"early_stopping": True}], ids=str)
def test_models_of_every_library_are_copied(on_target, kind, options):
    backend = on_target.backend()
    x, y = backend.asarray(X), backend.asarray(SPECIES, "int32") if kind is MLPClassifier else backend.asarray(SPECIES)
    model = kind(hidden_layer_sizes=(4,), max_iter=2, random_state=0, **options).fit(x, y)
    before = backend.to_numpy(model.predict(x)).copy()
    for make in COPIES.values():
        twin = make(model)
        for mine, theirs in zip([*twin.coefs_, *twin.intercepts_], [*model.coefs_, *model.intercepts_], strict=True):
            assert type(mine) is type(theirs) and mine.dtype == theirs.dtype and tuple(mine.shape) == tuple(theirs.shape)
            assert backend_of(mine) == backend
        np.testing.assert_array_equal(backend.to_numpy(twin.predict(x)), before)
    twin.set_params(max_iter=1, random_state=1).fit(x, y)
    assert not np.array_equal(backend.to_numpy(twin.coefs_[0]), backend.to_numpy(model.coefs_[0]))
    np.testing.assert_array_equal(backend.to_numpy(model.predict(x)), before)


def test_a_backend_is_a_parameter_like_any_other(on_target):
    backend = on_target.backend()
    model = MLPClassifier((4,), max_iter=3, random_state=0, backend=backend)
    assert clone(model).backend is backend and clone(model).get_params() == model.get_params()
    assert repr(backend) in "".join(repr(model).split("\n")).replace("  ", "")
    assert model.set_params(backend=on_target.flag).backend == on_target.flag
    expected = cross_val_score(model.set_params(backend="numpy"), X, SPECIES, cv=2)
    np.testing.assert_allclose(cross_val_score(model.set_params(backend=backend), X, SPECIES, cv=2), expected)
    model.fit(X, SPECIES)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_a_search_over_backends_in_several_processes():
    backends = [select_backend("numpy", "float64"), select_backend("strict", "float64"), "numpy", None]
    search = GridSearchCV(MLPClassifier((4,), max_iter=3, random_state=0), {"backend": backends}, cv=2, n_jobs=2)
    search.fit(X, SPECIES)
    assert list(search.cv_results_["param_backend"]) == backends
    assert len(set(search.cv_results_["mean_test_score"])) == 1


@BOTH
def test_masked_arrays_are_rejected(kind):
    y = SPECIES if kind is MLPClassifier else 1.0 * SPECIES
    model = kind(hidden_layer_sizes=(3,), max_iter=2).fit(X, y)
    x, labels, weight = np.ma.array(X, mask=X > 6), np.ma.array(y, mask=y > 1), np.ma.array(np.ones(len(X)), mask=y > 1)
    expected = model.predict(X)
    for call, name in (
        (lambda: model.fit(x, y), "X"),
        (lambda: model.fit(X, labels), "y"),
        (lambda: model.fit(X, y, weight), "sample_weight"),
        (lambda: model.fit(X, y, X_val=x, y_val=y), "X"),
        (lambda: model.partial_fit(list(x), y), "X"),
        (lambda: model.predict(x), "X"),
        (lambda: model.score(X, labels), "y"),
        (lambda: model.score(X, y, weight), "sample_weight"),
    ):
        with pytest.raises(TypeError, match=f"some of {name} is masked: fill or drop"):
            call()
    np.testing.assert_array_equal(model.predict(np.ma.array(X)), expected)


@BOTH
def test_what_verbose_prints(kind, capsys):
    kind(max_iter=2, verbose=True, early_stopping=True, random_state=0).fit(X, SPECIES)
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0].partition(":")[0] for line in printed] == [
        "Iteration 1",
        "Validation score",
        "Iteration 2",
        "Validation score",
    ]
    kind(max_iter=50, verbose=True, tol=10.0, n_iter_no_change=1, random_state=0).fit(X, SPECIES)
    assert "has not improved by tol=10" in capsys.readouterr().out.splitlines()[-1]
    kind(max_iter=3, verbose=True, solver="lbfgs", random_state=0).fit(X, SPECIES)
    assert [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()] == [f"Iteration {n}" for n in (1, 2, 3)]


@BOTH
def test_no_warning_if_training_converged(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(tol=10.0, n_iter_no_change=2, random_state=0).fit(X, SPECIES)


@BOTH
def test_warnings_point_to_the_line_that_called_fit(kind):
    def interrupt(training):
        raise KeyboardInterrupt

    for options, y, message in (
        ({"batch_size": 151}, SPECIES, "every batch holds all"),
        ({"max_iter": 1}, SPECIES, "has not converged"),
        ({"max_iter": 1, "solver": "lbfgs", "tol": 0.0}, SPECIES, "has not converged"),
        ({"callbacks": [interrupt]}, SPECIES, "interrupted"),
        ({}, SPECIES[:, None], "column-vector"),
    ):
        with pytest.warns(match=message) as caught:
            kind(**{"random_state": 0, "tol": 10.0, "n_iter_no_change": 2} | options).fit(X, y)
        assert [each.filename for each in caught if message in str(each.message)] == [__file__]
