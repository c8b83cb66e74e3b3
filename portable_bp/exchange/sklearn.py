"""Read a fitted multilayer perceptron of scikit-learn by its attributes; scikit-learn itself is not imported."""

from __future__ import annotations

from typing import Any

import numpy as np

from portable_bp.algorithm.arrays import Array
from portable_bp.backends import backend_of


def read_perceptron(model: Any) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Return a fitted model's weights (fan_out, fan_in) and biases, which may share its memory, and its activations' names."""
    kind = type(model).__name__
    if hasattr(model, "n_estimators"):
        raise TypeError(f"model is a {kind}, which has several networks: give one of its estimators_.")
    if not all(hasattr(model, name) for name in ("hidden_layer_sizes", "activation")):
        raise TypeError(
            f"model is a {kind}, and should be a fitted MLPClassifier or MLPRegressor: give the last step of a pipeline, or "
            "best_estimator_ of a search."
        )
    if not all(hasattr(model, name) for name in ("coefs_", "intercepts_", "out_activation_")):
        raise ValueError(f"this {kind} is not fitted yet, and should be: call its fit first.")
    hidden = [model.activation] * (len(model.coefs_) - 1)
    weights = [_to_numpy(coef).mT for coef in model.coefs_]
    return weights, [_to_numpy(intercept) for intercept in model.intercepts_], [*hidden, model.out_activation_]


def _to_numpy(array: Array) -> np.ndarray:
    return backend_of(array).to_numpy(array)
