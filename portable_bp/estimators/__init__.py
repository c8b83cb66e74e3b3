"""MLPClassifier and MLPRegressor: scikit-learn's API and numbers, on the arrays that the user holds.

Start reading at `perceptron`, what the two share, and `stochastic` and `lbfgs`, the solvers.
"""

from portable_bp.common.lookup import require

require("sklearn", "sklearn")

from portable_bp.estimators.classifier import MLPClassifier  # noqa: E402  after the error that says how to install it
from portable_bp.estimators.regressor import MLPRegressor  # noqa: E402

__all__ = ["MLPClassifier", "MLPRegressor"]
