"""Arrays of every library are fitted and predicted on their device, with and without scikit-learn's array_api_dispatch."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_iris, make_multilabel_classification, make_regression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import portable_bp as bp
from portable_bp.estimators import MLPClassifier, MLPRegressor
from tests.support.targets import ON_DEVICES

pytestmark = [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"), ON_DEVICES]

IRIS, SPECIES = load_iris(return_X_y=True)
TARGETS = {
    "multiclass": (IRIS, SPECIES + 3),
    "binary": (IRIS[:100], SPECIES[:100]),
    "multilabel": make_multilabel_classification(80, 6, n_classes=4, random_state=0),
    "numbers": make_regression(80, 5, noise=10.0, random_state=0),
    "several outputs": make_regression(80, 5, n_targets=2, random_state=0),
}


def model_for(target, **options):
    kind = MLPRegressor if target in ("numbers", "several outputs") else MLPClassifier
    return kind(hidden_layer_sizes=(8,), random_state=0, max_iter=6, learning_rate_init=0.01, **options)


def given(on_target, target):
    """Return samples and targets as a backend's own arrays, and as NumPy's."""
    X, y = TARGETS[target]
    backend = on_target.backend()
    return backend.asarray(X), backend.asarray(y, "int64" if y.dtype.kind == "i" else None), X, y


def assert_belongs(on_target, array, expected, rtol=1e-9):
    backend = on_target.backend()
    assert type(array) is type(backend.asarray([0.0])), type(array)
    if hasattr(array, "device"):
        assert array.device == backend.device
    np.testing.assert_allclose(backend.to_numpy(array), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    ("target", "dispatch", "options"),
    [
        *((target, False, {}) for target in TARGETS),
        ("multiclass", True, {}),
        ("numbers", True, {"early_stopping": True}),
        ("binary", False, {"early_stopping": True}),
        ("binary", True, {"solver": "lbfgs"}),
        ("multilabel", False, {"solver": "sgd", "learning_rate": "adaptive"}),
    ],
    ids=str,
)
def test_results_are_arrays_of_the_same_library(on_target, target, dispatch, options):
    with sklearn.config_context(array_api_dispatch=dispatch):
        compare_with_numpy(on_target, target, options)


def compare_with_numpy(on_target, target, options):
    x, labels, X, y = given(on_target, target)
    expected = model_for(target, **options).fit(X, y)
    model = model_for(target, **options).fit(x, labels)
    close = 1e-4 if options.get("solver") == "lbfgs" else 1e-9
    for mine, theirs in zip([*model.coefs_, *model.intercepts_], [*expected.coefs_, *expected.intercepts_], strict=True):
        assert_belongs(on_target, mine, theirs, close)
    assert_belongs(on_target, model.predict(x), expected.predict(X), close)
    if hasattr(model, "predict_proba"):
        assert_belongs(on_target, model.classes_, expected.classes_)
        assert_belongs(on_target, model.predict_proba(x), expected.predict_proba(X), close)
        assert_belongs(on_target, model.predict_log_proba(x), expected.predict_log_proba(X), close)
    weight = np.linspace(0.1, 1.0, len(X))
    for theirs in (None, weight):
        mine = None if theirs is None else on_target.backend().asarray(theirs)
        score = model.score(x, labels, mine)
        assert isinstance(score, float)
        np.testing.assert_allclose(score, expected.score(X, y, theirs), rtol=close)


@pytest.mark.parametrize("target", ["multiclass", "binary", "several outputs"])
def test_partial_fit_with_weights_after_pickling(on_target, target):
    x, labels, X, y = given(on_target, target)
    weight = np.linspace(0.1, 1.0, len(X))
    model, expected = model_for(target), model_for(target)
    classes = {"classes": np.unique(y) if y.ndim == 1 else np.arange(4)} if isinstance(model, MLPClassifier) else {}
    for _ in range(2):
        model.partial_fit(x, labels, on_target.backend().asarray(weight), **classes)
        expected.partial_fit(X, y, weight, **classes)
        model = pickle.loads(pickle.dumps(model))
    assert_belongs(on_target, model.predict(x), expected.predict(X))
    assert_belongs(on_target, model.coefs_[0], expected.coefs_[0])


def test_float32_is_kept_and_integers_get_the_default_dtype_of_the_library(on_target):
    backend = bp.select_backend(on_target.flag, "float32")
    model = model_for("numbers").fit(backend.asarray(IRIS), backend.asarray(SPECIES))
    assert model.coefs_[0].dtype == model.predict(backend.asarray(IRIS)).dtype == backend.dtype
    x = backend.asarray(SPECIES[:, None], "int32")
    info = backend.xp.__array_namespace_info__()
    default = np.float64 if on_target.name.startswith("numpy") else info.default_dtypes(device=backend.device)["real floating"]
    assert model_for("numbers").fit(x, backend.asarray(SPECIES)).coefs_[0].dtype == default


def test_text_labels_for_samples_on_a_device(on_target):
    x, _, X, _ = given(on_target, "multiclass")
    names = np.asarray(["one", "three", "two"])[SPECIES]
    model = model_for("multiclass").fit(x, names)
    expected = model_for("multiclass").fit(X, names)
    np.testing.assert_array_equal(model.predict(x), expected.predict(X))
    assert model.score(x, names) == expected.score(X, names)


def test_everything_follows_x_with_array_api_dispatch(on_target):
    if on_target.name.startswith("numpy"):
        pytest.skip("NumPy arrays are host data")
    x, labels, X, y = given(on_target, "binary")
    with pytest.raises(TypeError, match=f"y is a {on_target.backend().name} array on .* move y there"):
        model_for("binary").fit(X, labels)
    with sklearn.config_context(array_api_dispatch=True):
        model = model_for("binary").fit(X, labels)
        assert isinstance(model.predict(X), np.ndarray) and isinstance(model.classes_, np.ndarray)
        assert_belongs(on_target, model_for("binary").fit(x, y).predict(x), model.predict(X))


def test_samples_on_another_device_than_the_model_are_rejected(on_target):
    if on_target.name.startswith("numpy"):
        pytest.skip("NumPy has a single device")
    x, _, X, y = given(on_target, "binary")
    for here, there in ((X, x), (x, X)):
        model = model_for("numbers").fit(here, on_target.backend().asarray(y) if here is x else y)
        with pytest.raises(ValueError, match=r"MLPRegressor.predict\(\) got X .* must use the same namespace and device"):
            model.predict(there)
        with pytest.raises(TypeError, match="X is a .* array on .* move X to where the model was fitted"):
            model.partial_fit(there, y)


@pytest.mark.parametrize("target", ["multiclass", "multilabel", "numbers"])
def test_host_samples_with_the_parameter_backend(on_target, target):
    _, _, X, y = given(on_target, target)
    model, expected = model_for(target, backend=on_target.flag).fit(X, y), model_for(target).fit(X, y)
    assert_belongs(on_target, model.coefs_[0], expected.coefs_[0])
    predicted = model.predict(X)
    assert isinstance(predicted, np.ndarray)
    np.testing.assert_allclose(predicted, expected.predict(X), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.score(X, y), expected.score(X, y), rtol=1e-9)


def test_inside_scikit_learns_pipeline_and_metrics(on_target):
    if on_target.name in ("strict", "jax", "jax-gpu"):
        pytest.skip("scikit-learn's own scaler does not support it")
    x, labels, X, y = given(on_target, "binary")
    with sklearn.config_context(array_api_dispatch=True), on_target.current():
        pipeline = make_pipeline(StandardScaler(), model_for("binary")).fit(x, labels)
        assert_belongs(
            on_target, pipeline.predict(x), make_pipeline(StandardScaler(), model_for("binary")).fit(X, y).predict(X)
        )
        assert accuracy_score(labels, pipeline.predict(x)) == pipeline.score(x, labels)
        numbers = model_for("numbers").fit(x, on_target.backend().asarray(y))
        np.testing.assert_allclose(
            r2_score(on_target.backend().asarray(y), numbers.predict(x)),
            numbers.score(x, on_target.backend().asarray(y)),
            rtol=1e-6,
        )


def test_bad_arrays_are_rejected_on_their_device(on_target):
    x, labels, X, y = given(on_target, "binary")
    backend = on_target.backend()
    holed = X.copy()
    holed[3, 1] = np.nan
    model = model_for("binary")
    model.fit(x, labels)
    before = model.coefs_
    for bad_x, bad_y, sentence in [
        (backend.asarray(holed), labels, "NaN"),
        (x[:, 0], labels, "(?i)expected (a )?2d array"),
        (x[:0, :], labels[:0], "(?i)sample"),
        (x, labels[:-1], "samples"),
        (x, backend.asarray(y + 0.5), "Unknown label type"),
        (x, None, "y"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            model.fit(bad_x, bad_y)
        assert model.coefs_ is before or all(a is b for a, b in zip(model.coefs_, before, strict=True))
    with pytest.raises(ValueError, match="features"):
        model.predict(x[:, :3])


def test_score_needs_one_target_per_prediction(on_target):
    if on_target.name.startswith("numpy"):
        pytest.skip("scikit-learn's own scores check it there")
    backend = on_target.backend()
    x, labels, X, y = given(on_target, "binary")
    classifier = model_for("binary").fit(x, labels)
    several = model_for("several outputs").fit(*given(on_target, "several outputs")[:2])
    one = model_for("numbers").fit(x, backend.asarray(y))
    np.testing.assert_allclose(classifier.score(x, labels[:, None]), classifier.score(x, labels))
    np.testing.assert_allclose(one.score(x, backend.asarray(y[:, None])), one.score(x, backend.asarray(y)))
    numbers = given(on_target, "several outputs")
    for model, samples, targets in (
        (classifier, x, labels[:1]),
        (classifier, x, backend.asarray(np.column_stack([y, y]), "int64")),
        (one, x, backend.asarray(y[:1])),
        (one, x, backend.asarray(np.column_stack([y, y]))),
        (several, numbers[0], numbers[1][:, 0]),
    ):
        with pytest.raises(ValueError, match="give one target for each"):
            model.score(samples, targets)
    with pytest.raises(ValueError, match="Unknown label type"):
        classifier.score(x, backend.asarray(y + 0.5))
    with pytest.raises(ValueError, match="y holds NaN"):
        one.score(x, backend.asarray(np.where(y == 1, np.nan, y)))
    with pytest.raises(ValueError, match="y holds NaN"):
        one.fit(x, backend.asarray(np.where(y == 1, np.nan, y)))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int8", "float64"])
def test_predicted_labels_have_the_dtype_of_the_targets(on_target, dtype):
    """Targets of the samples' library and on the host give the same labels."""
    x, _, X, y = given(on_target, "binary")
    labels = y.astype(dtype)
    expected = model_for("binary").fit(X, labels).predict(X)
    for mine in [labels, *([] if dtype == "uint16" else [own(on_target.backend(), labels)])]:
        model = model_for("binary").fit(x, mine)
        model.partial_fit(x, mine, classes=labels[[0, -1]])
        first = model_for("binary").partial_fit(x, mine, classes=labels[[0, -1]])
        assert_belongs(on_target, model.classes_, [0, 1])
        assert first.predict(x).dtype == model.predict(x).dtype == model.classes_.dtype
        np.testing.assert_array_equal(on_target.backend().to_numpy(model_for("binary").fit(x, mine).predict(x)), expected)


def own(backend, labels):
    if labels.dtype == bool:
        return backend.compile(lambda numbers: numbers == 1)(backend.asarray(labels, "int32"))
    return backend.asarray(labels, labels.dtype.name)


def test_boolean_label_columns_and_zero_weights(on_target):
    x, _, X, y = given(on_target, "multilabel")
    model = model_for("multilabel").fit(x, own(on_target.backend(), y.astype(bool)))
    np.testing.assert_array_equal(on_target.backend().to_numpy(model.predict(x)), model_for("multilabel").fit(X, y).predict(X))
    with pytest.raises(ValueError, match="(?i)zero"):
        model.fit(x, own(on_target.backend(), y.astype(bool)), on_target.backend().asarray(np.zeros(len(X))))


def test_validation_data_must_be_on_the_device_of_the_samples(on_target):
    x, _, X, y = given(on_target, "numbers")
    targets = on_target.backend().asarray(y)
    model_for("numbers").fit(x, targets, X_val=x[:9, :], y_val=targets[:9])
    if not on_target.name.startswith("numpy"):
        with pytest.raises(
            TypeError, match="X_val and y_val do not fit: X is a numpy array .* give X and X_val on the same device"
        ):
            model_for("numbers").fit(x, targets, X_val=X, y_val=y)
