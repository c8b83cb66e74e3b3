"""MLPRegressor: scikit-learn's multilayer perceptron for regression, on the user's arrays."""

from __future__ import annotations

import math
from typing import Any

from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend
from portable_bp.checks import as_array, check_bounds, refuse_nonfinite
from portable_bp.estimators.checks import check_score
from portable_bp.estimators.devices import is_host, to_host_like
from portable_bp.estimators.parameters import FitArguments
from portable_bp.estimators.perceptron import Perceptron
from portable_bp.estimators.scores import r_squared


class MLPRegressor(RegressorMixin, Perceptron):
    """Multilayer perceptron regressor with scikit-learn's API and numbers, for arrays of several libraries.

    The same ``random_state`` gives the same initial weights, batches, losses and predictions as scikit-learn 1.9, up to
    rounding. The network is trained where X is, and its weights and predictions are arrays of the same library on the same
    device: NumPy, CuPy, PyTorch, JAX or array-api-strict, with or without scikit-learn's ``array_api_dispatch``.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default="squared_error"
        The loss: half the squared error, or half the Poisson deviance, with the exponential as output activation. Both are
        summed over the outputs.
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
        Whether `fit` continues from the weights of the previous call, with the same layer sizes, instead of drawing
        new ones.
    momentum : float, default=0.9
        The momentum of "sgd", between 0 and 1.
    nesterovs_momentum : bool, default=True
        Whether "sgd" uses Nesterov's momentum.
    early_stopping : bool, default=False
        Whether training stops when the R^2 score on held-out samples stops improving, for "sgd" and "adam". The weights with
        the best score are then kept.
    validation_fraction : float, default=0.1
        The fraction of the samples to hold out for ``early_stopping``.
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
    dropout : float or sequence of float, default=0.0
        The fraction of the outs of each hidden layer to drop in training, from 0 to below 1: one number for all hidden layers,
        or one per hidden layer. For "sgd" and "adam".
    callbacks : sequence of callable, default=()
        Functions to call with a `portable_bp.training.Training` after every epoch or iteration, such as
        `portable_bp.EarlyStopping`. The callbacks of scikit-learn's own protocol, such as its ProgressBar, belong in
        ``set_callbacks`` instead.

    Attributes
    ----------
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
        The R^2 score on the validation samples after every epoch; None without validation samples.
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
        The activation of the output layer: "identity", or "exp" for the Poisson loss.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : numpy.ndarray, shape (features,)
        The names of the features, if X is a data frame whose column names are all strings.

    See Also
    --------
    MLPClassifier : Multilayer perceptron classifier.
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

    With several outputs, scikit-learn reports the squared error averaged over the outputs but follows the gradient of the sum
    (its issue 8349). Here the sum is reported too: "sgd" and "adam" take the same steps as in scikit-learn, the loss matches
    the gradient, and "lbfgs", which needs the two to agree, finds a minimum. Since ``tol`` is compared with
    the sum, training may stop later.

    Examples
    --------
    >>> import numpy as np
    >>> from portable_bp.estimators import MLPRegressor
    >>> X = np.linspace(-1.0, 1.0, 50)[:, None]
    >>> model = MLPRegressor(solver="lbfgs", random_state=0).fit(X, np.sin(3.0 * X[:, 0]))
    >>> model.score(X, np.sin(3.0 * X[:, 0])) > 0.999
    True
    """

    loss: str

    _parameter_constraints: dict = {
        **Perceptron._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    def __init__(
        self,
        loss="squared_error",
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
        dropout=0.0,
        callbacks=(),
    ):
        self._set_parameters(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
        """Fit the model to samples and their targets.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (n_samples, n_features)
            The samples: finite real numbers.
        y : array or list, shape (n_samples,) or (n_samples, n_outputs)
            The targets: finite real numbers, from 0 up for the Poisson loss.
        sample_weight : array or list, shape (n_samples,), optional
            The weight of each sample, on any scale. A batch's error is the weighted mean of its samples' losses. A batch whose
            weights add up to zero has no gradient and is left out of the loss.
        X_val, y_val : optional
            Validation samples and their targets, like X and y, to score after every epoch. With ``early_stopping`` they are
            used instead of held-out samples. Not for "lbfgs".

        Returns
        -------
        MLPRegressor
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
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch, continuing with the weights and the optimizer of the previous call.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        MLPRegressor
            The fitted model.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data are invalid, or if the final weights are not finite. The model is then as it was before
            the call.
        """
        return self._fit(FitArguments(X, y, sample_weight, incremental=True))

    def predict(self, X):
        """Predict the targets of samples.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, shape (n_samples, n_features)
            The samples, on the device of the model. Samples on the host are moved there if the parameter ``backend`` is set.

        Returns
        -------
        array, shape (n_samples,) or (n_samples, n_outputs)
            The predictions, where X is.
        """
        _, values = self._predict_values(X, "predict")
        return place_predictions(values, X)

    def score(self, X, y, sample_weight=None):
        """Return the coefficient of determination R^2, averaged over the outputs.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        float
            R^2, at most 1.
        """
        predicted = self.predict(X)
        y, weight = check_score(self, predicted, y, sample_weight)
        if is_host(predicted):
            return float(r2_score(y, predicted, sample_weight=weight))
        backend = self._fitted_backend()
        target = as_array(backend, y, "y")
        refuse_nonfinite(backend, target, "y")
        return r_squared(backend, _rows(predicted), _rows(target), weight)

    def _name_output(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _encode_target(self, backend: Backend, y: Any) -> tuple[Array, int]:
        target = _rows(as_array(backend, y, "y"))
        refuse_nonfinite(backend, target, "y")
        if self.loss == "poisson":
            check_bounds(backend, target, (0.0, math.inf), "numbers from 0 up")
        return target, target.shape[1]

    def _score(self, backend: Backend, values: Array, target: Array, sample_weight: Array | None) -> float:
        return r_squared(backend, values, target, sample_weight)


def place_predictions(values: Array, X: Any) -> Array:
    """Return predictions, of shape (samples, outputs), where X is; those of one output have shape (samples,)."""
    if values.shape[1] == 1:
        values = namespace(values).reshape(values, (-1,))
    return to_host_like(values, X)


def _rows(array: Array) -> Array:
    return array[:, None] if array.ndim == 1 else array
