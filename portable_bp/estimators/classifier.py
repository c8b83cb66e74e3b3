"""MLPClassifier: scikit-learn's, on the arrays that the user holds."""

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
from portable_bp.backends import Backend, backend_of, compiled
from portable_bp.estimators.labels import (
    choose_labels,
    distinct_labels,
    find_labels,
    label_of,
    number_labels,
    place_labels,
    refuse_fractions,
)
from portable_bp.estimators.perceptron import Perceptron
from portable_bp.estimators.places import is_host, to_host
from portable_bp.estimators.sample_weights import SampleWeights, scale_sample_weight
from portable_bp.estimators.samples import Examples
from portable_bp.estimators.scores import accuracy


class MLPClassifier(ClassifierMixin, Perceptron):
    """A multilayer perceptron that tells classes apart, with scikit-learn's conventions and numbers.

    The same ``random_state`` gives the same weights, batches, losses and predictions as scikit-learn 1.9, but for rounding. The
    data, the weights and the predictions stay where X is: NumPy arrays, and arrays of CuPy, PyTorch, JAX or array-api-strict on
    their device, with scikit-learn's ``array_api_dispatch`` or without it.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        The number of neurons of each hidden layer; empty for none.
    activation : {"identity", "logistic", "tanh", "relu"}
        Of the hidden layers.
    solver : {"lbfgs", "sgd", "adam"}
        "sgd" is `portable_bp.optimizers.Nesterov` or ``Momentum``, "adam" is ``Adam`` (arXiv:1412.6980), both in batches;
        "lbfgs" is SciPy's search over all samples (doi:10.1137/0916069), the parameters being moved to the host and back at
        each look.
    alpha : float
        The penalty alpha / 2 * sum of squared weights, divided by what the samples of a batch count for.
    batch_size : int or "auto"
        The samples of a step; "auto" is 200, or all where they are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}
        For sgd: the rate stays; or is, after an epoch, that at the start divided by (samples seen + 1) ** power_t; or is
        divided by five where the training would otherwise stop, as long as it is above 1e-6.
    learning_rate_init : float
        The learning rate at the start.
    power_t : float
        The exponent of "invscaling".
    max_iter : int
        The most epochs, or iterations of lbfgs.
    shuffle : bool
        Whether the samples come in another order at each epoch.
    random_state : int, numpy.random.RandomState or None
        Of the weights, the split, the order of the samples and dropout, all drawn on the host. As in scikit-learn, each call
        of `fit` and `partial_fit` starts again from an integer; only dropout goes on where a call goes on with the weights.
    tol : float
        By how much the loss, or the score with ``early_stopping``, is to improve; for lbfgs, the largest slope to stop at.
    verbose : bool or int
        Whether a line is printed after every epoch.
    warm_start : bool
        Whether `fit` goes on from the weights of the one before, whose sizes and classes it then keeps.
    momentum : float
        For sgd: the share of the velocity that is kept.
    nesterovs_momentum : bool
        For sgd: whether the momentum looks ahead.
    early_stopping : bool
        Whether training ends when the score on samples that are held out does not improve, with the weights of the best one.
    validation_fraction : float
        The share of the samples that is held out then. Where there are two classes, both are split in this share, for which
        their numbers are read from the device.
    beta_1, beta_2, epsilon : float
        For adam: the shares of the two running means that are kept, and what is added to the root of the second.
    n_iter_no_change : int or inf
        More epochs than so many without an improvement end the training.
    max_fun : int
        For lbfgs: the most looks at the loss.
    backend : str, Backend or None
        Where to compute, as `portable_bp.select_backend` takes it; None follows X. Where one is named, samples of the host are
        moved there, the weights stay there, and predictions for samples of the host come back.
    class_weight : dict, "balanced", list of dict, or None
        What each class counts for in training, besides the sample weights, as scikit-learn's other classifiers take it; the
        numbers of the samples' classes are read from the device for it. The score on samples that are held out is without it.
    dropout : float or sequence of float
        The share of outs that is dropped while training, of every hidden layer, or one number a hidden layer; for sgd and adam.
    callbacks : sequence of callable
        Each is called with a `portable_bp.training.Training` after every epoch: `portable_bp.EarlyStopping`, or any function.
        The callbacks of scikit-learn's own protocol, such as its ProgressBar, go to `set_callbacks` instead.

    Attributes
    ----------
    classes_ : array, shape (classes,)
        The labels, sorted, where X is; those that its library cannot hold, such as text, are NumPy's.
    coefs_ : list of array, each of shape (fan_in, fan_out)
        The weights, in scikit-learn's layout: the transpose of `portable_bp.Layer.weight`.
    intercepts_ : list of array, each of shape (fan_out,)
        The biases.
    loss_, loss_curve_ : float, list of float
        The mean over an epoch's samples of loss and penalty, each taken before the step that learned from it.
    best_loss_ : float or None
        The smallest of them; None with ``early_stopping``.
    validation_scores_, best_validation_score_ : list of float and float, or None
        The scores on samples that are held out, and the best.
    n_iter_, t_ : int
        The epochs of the last fit, and the samples seen since the weights were drawn.
    n_layers_, n_outputs_, out_activation_ : int, int, str
        The layers with that of the inputs, the outputs, and "softmax" or "logistic".
    n_features_in_, feature_names_in_ : int, numpy.ndarray
        The features, and their names where X is a data frame.

    Notes
    -----
    Where X is an array of a library other than NumPy, integers become that library's default floating-point numbers. With
    ``array_api_dispatch``, y and sample weights follow X; without it, they must be on its device or on the host.

    From scikit-learn 1.9 on, ``set_callbacks`` takes the callbacks of `sklearn.callback`. They are called for the fit and for
    each epoch, or iteration of lbfgs, with X, y and sample weights as given to `fit`; one that returns True after an epoch
    ends the training.

    With ``warm_start`` and ``early_stopping``, scikit-learn loses the best weights of the earlier fit if the new one has no
    better score; here they are brought back.

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

    _predicts_numbers = False

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
        self._keep_parameters(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
        """Fit to samples and their classes.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (samples, features)
            Real numbers, all finite.
        y : array or list, shape (samples,), or (samples, labels) of 0 and 1
            Classes, as numbers or strings, or a column a label.
        sample_weight : array or list, shape (samples,), optional
            What each sample counts for, of any scale. A batch is learned from by its weighted mean; one whose weights add up to
            zero has no gradient and no part in the loss.
        X_val, y_val : optional
            As X and y: samples to score after every epoch. With ``early_stopping`` they take the place of the share that is
            held out.

        Returns
        -------
        MLPClassifier
            The model itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data do not fit, or no weights or no validation scores are finite in the end; the model is
            then as it was.

        Warns
        -----
        ConvergenceWarning
            If training ended with ``max_iter``, or diverged.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @available_if(lambda model: model.solver != "lbfgs")
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Go on for one epoch, the optimizer as it was left.

        Parameters
        ----------
        X, y, sample_weight
            As `fit` takes them.
        classes : array or list, shape (classes,)
            All classes that there will be: needed at the first call, and the same after it.

        Returns
        -------
        MLPClassifier
            The model itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data do not fit, or weights are not finite in the end; the model is then as it was.
        """
        if classes is None and not hasattr(self, "classes_"):
            raise ValueError("classes is missing: the first call of partial_fit needs all classes that there will be.")
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def predict(self, X):
        """Return the likeliest class of each sample.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (samples, features)
            Where the model is; host data go to the backend that was asked for, if one was.

        Returns
        -------
        array, shape (samples,), or (samples, labels) of 0 and 1
            Where X is; labels that its library cannot hold, such as text, are NumPy's, and columns of labels are sparse where
            those of `fit` were.
        """
        backend, probability = self._values(X, "predict")
        numbers, classes = self._choose(backend, probability), self.classes_
        if not (is_host(X) or is_host(classes)):
            return compiled(backend, label_of, self._kind)(classes, numbers)
        labels = label_of(self._kind, to_host(classes), backend.to_numpy(numbers))
        return scipy.sparse.csr_matrix(labels) if self._sparse_labels else labels

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X
            As `predict` takes it.

        Returns
        -------
        array, shape (samples, classes)
            Where X is, the classes in the order of ``classes_``; of several labels, each by itself. Where `fit` saw one class
            only, its column holds ones, as with scikit-learn's other classifiers; its MLPClassifier gives two columns.
        """
        return self._probability(X, "predict_proba")

    def predict_log_proba(self, X):
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X
            As `predict` takes it.

        Returns
        -------
        array, shape (samples, classes)
            The logarithm of `predict_proba`.
        """
        return self._probability(X, "predict_log_proba", _logarithm)

    def score(self, X, y, sample_weight=None):
        """Return the share of the samples whose class, or all of whose labels, are right.

        Parameters
        ----------
        X, y, sample_weight
            As `fit` takes them.
        """
        predicted = self.predict(X)
        y, weight = self._check_to_score(predicted, y, sample_weight)
        if is_host(predicted):
            return float(accuracy_score(y, predicted, sample_weight=weight))
        if is_host(y):  # such as text, which is told apart on the host
            return float(accuracy_score(y, to_host(predicted), sample_weight=to_host(weight)))
        backend = backend_of(self.coefs_[0])
        refuse_fractions(backend, y)
        return accuracy(backend, predicted, y, weight)

    def _choose(self, backend: Backend, probability: Array) -> Array:
        numbers = compiled(backend, choose_labels, self._kind)(probability)
        # An only class has the number 0, which its network need not have learned.
        return numbers if self.classes_.shape[0] > 1 else compiled(backend, _zeros)(numbers)

    def _probability(self, X, method, *functions):
        backend, probability = self._values(X, method)
        columns = _with_complement if self.classes_.shape[0] > 1 else _ones
        for function in [*([columns] if self._kind == "binary" else []), *functions]:
            probability = compiled(backend, function)(probability)
        return backend.to_numpy(probability) if is_host(X) else probability

    def _name_output(self) -> str:
        return "softmax" if self._kind == "multiclass" else "logistic"

    def _learn_classes(self, backend: Backend, x: Any, y: Any, classes: Any, anew: bool) -> None:
        if not anew and hasattr(self, "classes_"):
            self._compare_classes(backend, y, classes)
        elif classes is None:
            self.classes_, self._kind = find_labels(backend, y)
            self._sparse_labels = scipy.sparse.issparse(y)
        else:
            self.classes_ = unique_labels(to_host(classes))
            self._kind = "multilabel" if y.ndim == 2 else "multiclass" if len(self.classes_) > 2 else "binary"
            self._sparse_labels = scipy.sparse.issparse(y)
        self.classes_ = place_labels(backend, self.classes_, is_host(x))

    def _compare_classes(self, backend: Backend, y: Any, classes: Any) -> None:
        known = to_host(self.classes_)
        if classes is not None and not np.array_equal(unique_labels(to_host(classes)), known):
            raise ValueError(f"classes is {classes}, and was {known} before: give the same, or leave it out.")
        if self.warm_start:
            found = distinct_labels(backend, y)
            if set(found.tolist()) != set(known.tolist()):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously got "
                    f"{known}, `y` has {found}"
                )

    def _take_target(self, backend: Backend, y: Any) -> tuple[Array, int]:
        target = number_labels(backend, y, place_labels(backend, self.classes_, is_host(y)), self._kind)
        return target, self.classes_.shape[0] if self._kind == "multiclass" else target.shape[1]

    def _score(self, backend: Backend, values: Array, target: Array, sample_weight: Array | None) -> float:
        return accuracy(backend, self._choose(backend, values), target, sample_weight)

    def _strata(self, examples: Examples) -> np.ndarray | None:
        # As columns of True and False, which is how scikit-learn's messages call them.
        return examples.samples.backend.to_numpy(examples.target).astype(bool) if self._kind == "binary" else None

    def _weigh(self, examples: Examples) -> Examples:
        if self.class_weight is None:
            return examples
        backend = examples.samples.backend
        numbers = backend.to_numpy(examples.target).astype(int)
        labels = numbers if self._kind == "multilabel" else to_host(self.classes_)[numbers.reshape(-1)]
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
