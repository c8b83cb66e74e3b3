"""The default score of a search over classifiers, computed without checking the same samples for every candidate."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from portable_bp.estimators.classifier import MLPClassifier
from portable_bp.estimators.samples import Examples


class Accuracy:
    """The scorer ``MLPClassifier.score``, which checks the samples of a fold once for all candidates."""

    def __init__(self) -> None:
        self._checked: dict[Any, Examples | None] = {}

    def __call__(self, model: Any, X: Any, y: Any, **parameters: Any) -> float:
        """Return the accuracy of a fitted classifier, or of a pipeline that ends with one; X and y stay alive between calls."""
        network: Any = model[-1] if isinstance(model, Pipeline) else model
        key = id(X), network._fitted_backend()
        if key not in self._checked:
            self._checked[key] = None if parameters else _checked_examples(model, network, X, y)
        examples = self._checked[key]
        return model.score(X, y, **parameters) if examples is None else network._measure(examples)


def _checked_examples(model: Any, network: MLPClassifier, X: Any, y: Any) -> Examples | None:
    """Return the samples as the network takes them, with one label each; None if only ``score`` takes them."""
    if getattr(y, "ndim", 0) != 1:
        return None
    try:
        samples = X if model is network else model[:-1].transform(X)
        return network._check_validation(network._fitted_backend(), samples, y)
    except (ValueError, TypeError):  # such as a label that is not in the training samples
        return None
