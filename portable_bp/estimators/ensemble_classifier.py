"""MLPEnsembleClassifier: several classifiers trained at once, with the mean of their probabilities."""

from __future__ import annotations

from portable_bp.backends import compiled
from portable_bp.estimators.classifier import MLPClassifier
from portable_bp.estimators.devices import to_host_like
from portable_bp.estimators.ensemble import Ensemble, mean, spread


class MLPEnsembleClassifier(Ensemble, MLPClassifier):
    """Several multilayer perceptron classifiers, trained at once, that predict the mean of their probabilities.

    Member k is what `MLPClassifier` with its ``random_state`` would be: the members see the same samples, and differ in
    their initial weights and batches (Lakshminarayanan et al., arXiv:1612.01474). Their mean is usually more accurate, and its
    probabilities better calibrated, than those of one network.

    Parameters
    ----------
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, \
    tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon, \
    n_iter_no_change, max_fun, backend, class_weight, dropout
        As in `MLPClassifier`, the same for all members. With ``early_stopping``, each member holds out samples of its own.
        With ``warm_start``, ``fit`` continues the training of the members.
    n_estimators : int, default=8
        The number of members.
    random_state : int, numpy.random.RandomState or None, default=None
        Determines the ``random_state`` of the members, drawn as scikit-learn's ensembles do.
    callbacks : sequence of callable, default=()
        As in `MLPClassifier`: called with the training of each member. Members with callbacks are trained one after the other,
        as they are with ``solver="lbfgs"``.

    Attributes
    ----------
    estimators_ : list of MLPClassifier
        The fitted members.
    classes_ : array, shape (n_classes,)
        The class labels, sorted.
    n_iter_ : list of int
        The number of epochs or iterations of each member.
    n_outputs_ : int
        The number of outputs.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : numpy.ndarray, shape (features,)
        The names of the features, if X is a data frame whose column names are all strings.

    See Also
    --------
    MLPClassifier : One network.
    MLPEnsembleRegressor : The same for regression.

    Notes
    -----
    Ctrl-C ends ``fit`` with a KeyboardInterrupt, and the ensemble stays as it was.

    Examples
    --------
    >>> import numpy as np
    >>> from portable_bp.estimators import MLPEnsembleClassifier
    >>> X = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> y = ["no", "yes", "yes", "no"]
    >>> model = MLPEnsembleClassifier((8,), n_estimators=5, learning_rate_init=0.1, max_iter=100, random_state=0).fit(X, y)
    >>> model.predict(X)
    array(['no', 'yes', 'yes', 'no'], dtype='<U3')
    >>> probability, spread = model.predict_proba(X, return_std=True)
    >>> probability.shape, spread.shape
    ((4, 2), (4, 2))
    """

    estimators_: list[MLPClassifier]

    _member_kind = MLPClassifier
    _parameter_constraints: dict = {**MLPClassifier._parameter_constraints, **Ensemble._parameter_constraints}

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        n_estimators=8,
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

    def predict_proba(self, X, return_std=False):
        """Predict the probability of each class: the mean of the members' probabilities.

        Parameters
        ----------
        X
            As in ``predict``.
        return_std : bool, default=False
            Whether to return the spread of the members too.

        Returns
        -------
        probability : array, shape (n_samples, n_classes)
            The probabilities, as `MLPClassifier.predict_proba` returns them.
        std : array, shape (n_samples, n_classes)
            The standard deviation of the members' probabilities, if ``return_std``: large where the members disagree, as they
            do far from the samples that they were trained on.
        """
        if not return_std:
            return super().predict_proba(X)
        backend, probability = self._member_values(X, "predict_proba")
        columns = self._columns(backend, probability)
        return tuple(to_host_like(compiled(backend, function)(columns), X) for function in (mean, spread))
