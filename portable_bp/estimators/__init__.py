"""MLPClassifier and MLPRegressor: scikit-learn's API and numbers, on the user's arrays.

Start reading at ``perceptron``, which holds what the two share, and at the solvers, ``stochastic`` and ``lbfgs``.
"""

from portable_bp.common.lookup import require

require("sklearn", "sklearn")

from portable_bp.estimators.classifier import MLPClassifier  # noqa: E402  after the error that says how to install it
from portable_bp.estimators.regressor import MLPRegressor  # noqa: E402

__all__ = ["MLPClassifier", "MLPRegressor"]
