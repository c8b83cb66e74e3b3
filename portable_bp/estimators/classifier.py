"""MLPClassifier: scikit-learn's multilayer perceptron for classification, on the user's arrays."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, compiled
from portable_bp.estimators.checks import CheckedData, check_score
from portable_bp.estimators.devices import is_host, to_host, to_host_like
from portable_bp.estimators.labels import (
    Kind,
    decide,
    decode_labels,
    distinct_labels,
    encode_labels,
    find_labels,
    place_labels,
    require_whole_numbers,
)
from portable_bp.estimators.parameters import FitArguments
from portable_bp.estimators.perceptron import Perceptron
from portable_bp.estimators.sample_weights import SampleWeights, scale_sample_weight
from portable_bp.estimators.samples import Examples
from portable_bp.estimators.scores import accuracy


class MLPClassifier(ClassifierMixin, Perceptron):
    """Multilayer perceptron classifier with scikit-learn's API and numbers, for arrays of several libraries.

    The same ``random_state`` gives the same initial weights, batches, losses and predictions as scikit-learn 1.9, up to
    rounding. The network is trained where X is, and its weights and predictions are arrays of the same library on the same
    device: NumPy, CuPy, PyTorch, JAX or array-api-strict, with or without scikit-learn's ``array_api_dispatch``.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        The number of neurons in each hidden layer. An empty sequence means no hidden layer.
    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        The activation of the hidden layers.
    solver : {"lbfgs", "sgd", "adam"}, default="adam"
        How the weights are optimized:

        - "sgd" is stochastic gradient descent with momentum, `portable_bp.optimizers.Nesterov` or ``Momentum``;
        - "adam" is Adam (arXiv:1412.6980), `portable_bp.optimizers.Adam`;
        - "lbfgs" is SciPy's L-BFGS-B (doi:10.1137/0916069), which uses all samples at every iteration. It runs on the host, so
          the parameters and the gradient are copied between host and device at every evaluation of the loss.
    alpha : float, default=0.0001
        The strength of the L2 penalty. ``alpha / 2`` times the sum of the squared weights, divided by the number of samples in
        the batch (or the sum of their weights), is added to the loss.
    batch_size : int or "auto", default="auto"
        The number of samples in a batch, for "sgd" and "adam". "auto" means 200, or all samples if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        The learning rate schedule of "sgd":

        - "constant" keeps the rate at ``learning_rate_init``;
        - "invscaling" sets it to ``learning_rate_init / (t_ + 1) ** power_t`` after every epoch;
        - "adaptive" divides it by five whenever training would otherwise stop for lack of improvement, as long as it is above
          1e-6.
    learning_rate_init : float, default=0.001
        The learning rate at the start, for "sgd" and "adam".
    power_t : float, default=0.5
        The exponent of the "invscaling" schedule.
    max_iter : int, default=200
        The maximum number of epochs, or of iterations for "lbfgs".
    shuffle : bool, default=True
        Whether the samples are shuffled before each epoch, for "sgd" and "adam".
    random_state : int, numpy.random.RandomState or None, default=None
        The source of the random numbers for the initial weights, the validation split, shuffling and dropout. All are drawn on
        the host, so they do not depend on the backend. As in scikit-learn, an integer makes each call of `fit` and
        `partial_fit` start from the same random numbers, except that dropout continues in calls that continue training.
    tol : float, default=1e-4
        The minimum improvement of the loss, or of the validation score with ``early_stopping``, that counts as one. For
        "lbfgs", the gradient's largest component at which the search stops.
    verbose : bool or int, default=False
        Whether to print the loss after every epoch or iteration.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the previous call, with the same layer sizes and classes, instead of drawing
        new ones.
    momentum : float, default=0.9
        The momentum of "sgd", between 0 and 1.
    nesterovs_momentum : bool, default=True
        Whether "sgd" uses Nesterov's momentum.
    early_stopping : bool, default=False
        Whether training stops when the accuracy on held-out samples stops improving, for "sgd" and "adam". The weights with
        the best score are then kept.
    validation_fraction : float, default=0.1
        The fraction of the samples to hold out for ``early_stopping``. With two classes, the split
        keeps their proportions, which reads the class codes from the device.
    beta_1, beta_2 : float, default=0.9 and 0.999
        The decay rates of the moving averages of the gradient and of its square, for "adam".
    epsilon : float, default=1e-8
        The number that "adam" adds to the denominator of its step for numerical stability.
    n_iter_no_change : int or inf, default=10
        Training stops after more than this number of epochs without an improvement of at least ``tol``, for "sgd" and "adam".
    max_fun : int, default=15000
        The maximum number of evaluations of the loss, for "lbfgs".
    backend : str, Backend or None, default=None
        Where to compute, as `portable_bp.select_backend` takes it. None means where X is. If a backend is given, samples on the
        host are moved there; the weights stay there, and predictions for samples on the host are returned on the host.
    class_weight : dict, "balanced", list of dict, or None, default=None
        The weight of each class in training, by which sample weights are multiplied, in the form that scikit-learn's other
        classifiers take. The class codes are read from the device to apply it. It does not apply to validation scores.
    dropout : float or sequence of float, default=0.0
        The fraction of the outs of each hidden layer to drop in training, from 0 to below 1: one number for all hidden layers,
        or one per hidden layer. For "sgd" and "adam".
    callbacks : sequence of callable, default=()
        Functions to call with a `portable_bp.training.Training` after every epoch or iteration, such as
        `portable_bp.EarlyStopping`. The callbacks of scikit-learn's own protocol, such as its ProgressBar, belong in
        ``set_callbacks`` instead.

    Attributes
    ----------
    classes_ : array, shape (n_classes,)
        The class labels, sorted, where X is. Labels that its library cannot hold, such as text, are in a NumPy array.
    coefs_ : list of array, each of shape (fan_in, fan_out)
        The weights of each layer: the transposes of ``portable_bp.Layer.weight``.
    intercepts_ : list of array, each of shape (fan_out,)
        The biases of each layer.
    loss_ : float
        The loss of the last epoch or iteration, including the penalty.
    loss_curve_ : list of float
        The loss of every epoch, for "sgd" and "adam": the mean over the epoch's samples, each measured before the step that
        learns from it.
    best_loss_ : float or None
        The smallest loss of all epochs; None with ``early_stopping``.
    validation_scores_ : list of float or None
        The accuracy on the validation samples after every epoch; None without validation samples.
    best_validation_score_ : float or None
        The best of the validation scores; None without validation samples.
    n_iter_ : int
        The number of epochs or iterations of the last call.
    t_ : int
        The number of samples seen in training since the weights were drawn.
    n_layers_ : int
        The number of layers, including the input layer.
    n_outputs_ : int
        The number of outputs.
    out_activation_ : str
        The activation of the output layer: "softmax" for more than two classes, else "logistic".
    n_features_in_ : int
        The number of features.
    feature_names_in_ : numpy.ndarray, shape (features,)
        The names of the features, if X is a data frame whose column names are all strings.

    See Also
    --------
    MLPRegressor : Multilayer perceptron regressor.
    portable_bp.Network : A network with more choices of activation, loss and optimizer.

    Notes
    -----
    With X on the host, scikit-learn's conventions apply. If X is an array of another library, integers are converted to that
    library's default floating-point dtype. y and the sample weights must then be on the same device or on the host; if
    scikit-learn's ``array_api_dispatch`` is on, they may be anywhere and are moved to X.

    From scikit-learn 1.9 on, ``set_callbacks`` takes the callbacks of ``sklearn.callback``. They are called for the fit and for
    each epoch, or iteration of "lbfgs", with X, y and the sample weights as given to `fit`. Training stops when one returns
    True after an epoch.

    With ``warm_start`` and ``early_stopping``, scikit-learn loses the best weights of the previous call if the new one finds no
    better ones; here they are restored.

    Examples
    --------
    >>> import numpy as np
    >>> from portable_bp.estimators import MLPClassifier
    >>> X = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> model = MLPClassifier((8,), solver="lbfgs", random_state=0).fit(X, ["no", "yes", "yes", "no"])
    >>> model.predict(X)
    array(['no', 'yes', 'yes', 'no'], dtype='<U3')
    """

    class_weight: Any

    classes_: Array
    _kind: Kind
    _sparse_labels: bool

    _parameter_constraints: dict = {
        **Perceptron._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        backend=None,
        class_weight=None,
        dropout=0.0,
        callbacks=(),
    ):
        self._set_parameters(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
        """Fit the model to samples and their classes.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (n_samples, n_features)
            The samples: finite real numbers.
        y : array, sparse matrix or list, shape (n_samples,) or (n_samples, n_labels)
            The class of each sample, as a number or as text; or for several labels, a column of 0 and 1 for each.
        sample_weight : array or list, shape (n_samples,), optional
            The weight of each sample, on any scale. A batch's error is the weighted mean of its samples' losses. A batch whose
            weights add up to zero has no gradient and is left out of the loss.
        X_val, y_val : optional
            Validation samples and their targets, like X and y, to score after every epoch. With ``early_stopping`` they are
            used instead of held-out samples. Not for "lbfgs".

        Returns
        -------
        MLPClassifier
            The fitted model.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data are invalid, or if the final weights or all validation scores are not finite. The model
            is then as it was before the call.

        Warns
        -----
        ConvergenceWarning
            If training reached ``max_iter`` or diverged.
        """
        return self._fit(FitArguments(X, y, sample_weight, X_val, y_val))

    @available_if(lambda model: model.solver != "lbfgs")
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch, continuing with the weights and the optimizer of the previous call.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array or list, shape (n_classes,)
            All classes that y may hold in any call. Required in the first call; later calls may leave it out or repeat it.

        Returns
        -------
        MLPClassifier
            The fitted model.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data are invalid, or if the final weights are not finite. The model is then as it was before
            the call.
        """
        if classes is None and not hasattr(self, "classes_"):
            raise ValueError(
                "classes is missing: the first call of partial_fit needs all classes that y will hold in any call."
            )
        return self._fit(FitArguments(X, y, sample_weight, classes=classes, incremental=True))

    def predict(self, X):
        """Predict the most likely class of each sample.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (n_samples, n_features)
            The samples, on the device of the model. Samples on the host are moved there if the parameter ``backend`` is set.

        Returns
        -------
        array, shape (n_samples,), or (n_samples, n_labels) of 0 and 1
            The labels, where X is. Labels that its library cannot hold, such as text, are in a NumPy array, and columns of
            labels are a sparse matrix if y was one in `fit`.
        """
        backend, probability = self._predict_values(X, "predict")
        classes = to_host_like(self.classes_, X)
        codes = self._decide(backend, probability)
        if not is_host(classes):
            return compiled(backend, decode_labels, self._kind)(classes, codes)
        labels = decode_labels(self._kind, classes, to_host(codes))
        return scipy.sparse.csr_matrix(labels) if self._sparse_labels else labels

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X
            As in `predict`.

        Returns
        -------
        array, shape (n_samples, n_classes)
            The probabilities, where X is, in the order of ``classes_``. With several labels, the probability of each label by
            itself. If `fit` saw a single class, one column of ones, as with scikit-learn's other classifiers; its MLPClassifier
            returns two columns.
        """
        return self._predict_probability(X, "predict_proba")

    def predict_log_proba(self, X):
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X
            As in `predict`.

        Returns
        -------
        array, shape (n_samples, n_classes)
            The logarithm of `predict_proba`.
        """
        return self._predict_probability(X, "predict_log_proba", _logarithm)

    def score(self, X, y, sample_weight=None):
        """Return the accuracy: the fraction of samples whose class, or all of whose labels, are predicted correctly.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        float
            The accuracy, from 0 to 1.
        """
        predicted = self.predict(X)
        y, weight = check_score(self, predicted, y, sample_weight)
        if is_host(y):  # as text is, wherever the samples are
            return float(accuracy_score(y, to_host(predicted), sample_weight=to_host(weight)))
        backend = self._fitted_backend()
        require_whole_numbers(backend, y)
        return accuracy(backend, predicted, y, weight)

    def _decide(self, backend: Backend, probability: Array) -> Array:
        codes = compiled(backend, decide, self._kind)(probability)
        # A single class has the code 0, which its network need not have learned.
        return codes if self.classes_.shape[0] > 1 else compiled(backend, _zeros)(codes)

    def _predict_probability(self, X, method, *functions):
        backend, probability = self._predict_values(X, method)
        probability = self._columns(backend, probability)
        for function in functions:
            probability = compiled(backend, function)(probability)
        return to_host_like(probability, X)

    def _columns(self, backend: Backend, probability: Array) -> Array:
        """Return a column for each class, given probabilities of shape (..., samples, outputs)."""
        if self._kind != "binary":
            return probability
        return compiled(backend, _with_complement if self.classes_.shape[0] > 1 else _ones)(probability)

    def _name_output(self) -> str:
        return "softmax" if self._kind == "multiclass" else "logistic"

    def _learn_classes(self, data: CheckedData, classes: Any, known: bool) -> None:
        backend, y = data.backend, data.y
        if known and hasattr(self, "classes_"):  # coefs_ alone may have been set by hand
            self._compare_classes(backend, y, classes)
        else:
            if classes is None:
                self.classes_, self._kind = find_labels(backend, y)
            else:
                self.classes_ = unique_labels(to_host(classes))
                self._kind = "multilabel" if y.ndim == 2 else "multiclass" if len(self.classes_) > 2 else "binary"
            self._sparse_labels = scipy.sparse.issparse(y)
        self.classes_ = place_labels(backend, self.classes_, data.X)

    def _compare_classes(self, backend: Backend, y: Any, classes: Any) -> None:
        known = to_host(self.classes_)
        if classes is not None and not np.array_equal(unique_labels(to_host(classes)), known):
            raise ValueError(f"classes is {classes}, but was {known} in the first call: give the same, or leave it out.")
        if self.warm_start:
            found = distinct_labels(backend, y)
            if set(found.tolist()) != set(known.tolist()):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously got "
                    f"{known}, `y` has {found}"
                )

    def _encode_target(self, backend: Backend, y: Any) -> tuple[Array, int]:
        target = encode_labels(backend, y, place_labels(backend, self.classes_, y), self._kind)
        return target, self.classes_.shape[0] if self._kind == "multiclass" else target.shape[1]

    def _score(self, backend: Backend, values: Array, target: Array, sample_weight: Array | None) -> float:
        return accuracy(backend, self._decide(backend, values), target, sample_weight)

    def _strata(self, examples: Examples) -> np.ndarray | None:
        # As columns of True and False, so that train_test_split's messages name the classes as scikit-learn does.
        return to_host(examples.target).astype(bool) if self._kind == "binary" else None

    def _weigh_classes(self, examples: Examples) -> Examples:
        if self.class_weight is None:
            return examples
        backend = examples.samples.backend
        codes = to_host(examples.target).astype(int)
        labels = codes if self._kind == "multilabel" else to_host(self.classes_)[codes.reshape(-1)]
        weights = scale_sample_weight(backend, compute_sample_weight(self.class_weight, labels), "class_weight")
        given = examples.sample_weight
        if given.array is not None:
            product = compiled(backend, operator.mul)(weights.array, given.array)
            array, exponent = scale_sample_weight(backend, product, "sample_weight times class_weight")
            weights = SampleWeights(array, exponent + weights.exponent + given.exponent)
        return examples._replace(sample_weight=weights)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _zeros(numbers: Array) -> Array:
    return namespace(numbers).zeros_like(numbers)


def _ones(numbers: Array) -> Array:
    return namespace(numbers).ones_like(numbers)


def _logarithm(probability: Array) -> Array:
    return namespace(probability).log(probability)


def _with_complement(probability: Array) -> Array:
    return namespace(probability).concat([1.0 - probability, probability], axis=-1)
