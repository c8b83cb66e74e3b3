"""MLPClassifier, MLPRegressor, ensembles of them and a search: scikit-learn's API and numbers, on the user's arrays.

Start reading at ``perceptron``, which holds what the estimators share, at the solvers, ``stochastic`` and ``lbfgs``, and at
``together``, which fits several estimators at once.
"""

from portable_bp.common.lookup import require

require("sklearn", "sklearn")

from portable_bp.estimators.classifier import MLPClassifier  # noqa: E402  after the error that says how to install it
from portable_bp.estimators.ensemble_classifier import MLPEnsembleClassifier  # noqa: E402
from portable_bp.estimators.ensemble_regressor import MLPEnsembleRegressor  # noqa: E402
from portable_bp.estimators.regressor import MLPRegressor  # noqa: E402
from portable_bp.estimators.search import PopulationSearchCV  # noqa: E402

__all__ = ["MLPClassifier", "MLPEnsembleClassifier", "MLPEnsembleRegressor", "MLPRegressor", "PopulationSearchCV"]
