"""MLPClassifier and MLPRegressor: scikit-learn's conventions and numbers, on the arrays that the user holds.

Read `perceptron` (what the two share), `classifier` and `regressor` first; each of the other modules is one of their ideas.
"""

from portable_bp.estimators.classifier import MLPClassifier
from portable_bp.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
