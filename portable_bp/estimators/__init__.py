"""MLPClassifier and MLPRegressor: scikit-learn's conventions and numbers, on the arrays that the user holds.

Read `perceptron` (what the two share), `classifier` and `regressor` first; each of the other modules is one of their ideas.
"""

from portable_bp.common.lookup import require

require("sklearn", "sklearn")

from portable_bp.estimators.classifier import MLPClassifier  # noqa: E402  after the sentence that says how to install it
from portable_bp.estimators.regressor import MLPRegressor  # noqa: E402

__all__ = ["MLPClassifier", "MLPRegressor"]
