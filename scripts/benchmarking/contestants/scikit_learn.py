"""scikit-learn's MLP, trained by partial_fit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from scripts.benchmarking.cases import Case, CaseData
from scripts.benchmarking.contestants.contestant import Contestant, ready_batches, shuffled_rows


class ScikitLearn(Contestant):
    """scikit-learn's classifier, or its regressor, whose outputs have no activation: it does less work than the others do."""

    name, needs = "scikit-learn", "sklearn"

    def __init__(self, case: Case, data: CaseData) -> None:
        super().__init__(case, data)
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        pieces = case.pieces
        classifies = pieces.loss == "cross_entropy"
        if classifies and case.sizes[-1] == 2:
            raise NotImplementedError("for two classes it has a single output, which makes it another network")
        self.output_activation, self.predicts_probabilities = "identity", classifies
        kind: Any = MLPClassifier if classifies else MLPRegressor
        self.model = kind(
            hidden_layer_sizes=case.sizes[1:-1],
            activation={"sigmoid": "logistic"}.get(pieces.activation, pieces.activation),
            solver=pieces.optimizer,
            alpha=0.0,
            batch_size=case.batch,
            learning_rate_init=case.learning_rate,
            momentum=0.0,
            nesterovs_momentum=False,
            epsilon=5e-10,  # it adds epsilon where it weighs about 20 times as much in the first steps
            shuffle=False,
        )
        self.ready = ready_batches(case, data.x, data.target)
        self.model.partial_fit(*self.ready[0], **({"classes": np.arange(case.sizes[-1])} if classifies else {}))
        for mine, given in zip(self.model.coefs_, data.weights, strict=True):
            mine[...] = given.T
        for mine, given in zip(self.model.intercepts_, data.biases, strict=True):
            mine[...] = given
        del self.model._optimizer  # so that Adam starts again too

    def parameters(self) -> list[np.ndarray]:
        """Return each layer's weight, then each layer's bias."""
        return [*(weight.T.copy() for weight in self.model.coefs_), *(bias.copy() for bias in self.model.intercepts_)]

    def steps(self, count: int) -> None:
        """Train on ready batches."""
        for x, target in itertools.islice(itertools.cycle(self.ready), count):
            self.model.partial_fit(x, target)

    def epoch(self, count: int) -> None:
        """Train on batches that are gathered."""
        for rows in shuffled_rows(self.case, count):
            self.model.partial_fit(self.data.x[rows], self.data.target[rows])

    def predict(self, x: Any) -> np.ndarray:
        """Predict probabilities, or the outputs."""
        return self.model.predict_proba(x) if hasattr(self.model, "classes_") else self.model.predict(x)
